"""What does an expression of PromQL ask for, and is it there?"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, get_args

import promql_parser

from penstock.core.breaker import Cause
from penstock.core.facts import Status
from penstock.core.failure import Kind
from penstock.telemetry.metrics import GATEWAY, SERVICE, Family

TARGET = {"namespace", "job", "instance"}
"""Labels that Prometheus gives."""

PROCESS = {
    f"process_{name}"
    for name in ("cpu_seconds_total", "resident_memory_bytes", "open_fds", "max_fds")
}
"""Of those that `prometheus_client` serves of every process."""

PROMETHEUS = {"up": set[str](), "ALERTS": {"alertname", "alertstate", "severity"}}
"""Its own, with their labels."""

VALUES = {
    ("penstock_questions_ended_total", "status"): set(get_args(Status)),
    ("penstock_model_shut", "cause"): set(Cause),
    ("penstock_dead_letters_total", "kind"): set(Kind),
    ("penstock_gateway_questions", "state"): {"open", "ended"},
}
"""What a label may be, where somebody chooses by it."""


class Metric(NamedTuple):
    """As it is stored. `family`: None for those that are not ours."""

    family: Family | None
    labels: set[str]


class Choice(NamedTuple):
    metric: str
    label: str
    values: set[str]


class Asked(NamedTuple):
    """`metrics`: by name. `chosen`: by which labels series are. `grouped`: which labels stay."""

    metrics: set[str]
    chosen: list[Choice]
    grouped: set[str]


def stored() -> dict[str, Metric]:
    """All that there is, by name."""
    found = {name: Metric(None, TARGET) for name in PROCESS}
    found |= {name: Metric(None, TARGET | labels) for name, labels in PROMETHEUS.items()}
    for family in (*SERVICE, *GATEWAY):
        labels = TARGET | set(family.labels)
        if family.kind == "histogram":
            found[f"{family.name}_bucket"] = Metric(family, labels | {"le"})
            found |= {f"{family.name}_{end}": Metric(family, labels) for end in ("sum", "count")}
        else:
            found[family.served_as] = Metric(family, labels)
    return found


def asked(expression: str) -> Asked:
    """Raises ValueError for what is no PromQL."""
    found = Asked(set(), [], set())

    def visit(node: Any) -> None:
        if isinstance(node, promql_parser.VectorSelector):
            assert node.name is not None, f"{expression}: a selector without a name"
            found.metrics.add(node.name)
            found.chosen.extend(
                Choice(node.name, matcher.name, set(matcher.value.split("|")))
                for matcher in node.matchers.matchers
            )
        elif isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            found.grouped.update(node.modifier.labels)
        elif isinstance(node, promql_parser.BinaryExpr):
            matching = node.modifier.matching if node.modifier is not None else None
            found.grouped.update(matching.labels if matching is not None else ())

    promql_parser.walk(promql_parser.parse(expression), visit)
    return found


def complaints(
    expression: str, shown: Iterable[str] = (), recorded: Iterable[str] = ()
) -> Iterator[str]:
    """What is asked for and is not there; `shown`: labels that a legend or a text names."""
    there = stored() | {name: Metric(None, TARGET) for name in recorded}
    this = asked(expression)
    if unknown := this.metrics - there.keys():
        yield f"{unknown} is served by nobody"
        return
    labels = set[str]().union(*(there[name].labels for name in this.metrics))
    if strange := (this.grouped | set(shown)) - labels:
        yield f"{strange} is a label of nothing in {expression}"
    for name, label, values in this.chosen:
        if label not in there[name].labels:
            yield f"{name} has no label {label}"
        known = VALUES.get((name, label))
        if known is not None and not values <= known | {".*"}:
            yield f"{name}: {label} is never {values - known}"
