"""What does a scrape say?

served = Scrape(text)
served['penstock_model_shut{cause="failing",model="default"}']
"""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from penstock.clock import Clock
from penstock.core.engine import Engine
from penstock.core.facts import Reading
from penstock.core.policy import Policy
from penstock.telemetry.counting import Counts
from penstock.telemetry.gauges import Gauges
from penstock.telemetry.series import text

OF_THE_PROCESS = "process_"


class Scrape:
    """The classic text format, read."""

    def __init__(self, said: str) -> None:
        self.kinds: dict[str, str] = {}
        """Every family as it is served, without the `_total` of a counter, and its type."""
        self.labels: dict[str, set[str]] = {}
        """Of the same, as its series have them; those of a histogram's buckets left out."""
        self.samples: dict[str, float] = {}
        for family in text_string_to_metric_families(said):
            if family.name.startswith(OF_THE_PROCESS):
                continue
            self.kinds[family.name] = family.type
            named = self.labels.setdefault(family.name, set())
            for sample in family.samples:
                named |= sample.labels.keys() - {"le"}
                labels = ",".join(f'{n}="{v}"' for n, v in sorted(sample.labels.items()))
                self.samples[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value

    def __getitem__(self, name: str) -> float:
        return self.samples[name]


def quiet(
    counts: Counts | None = None,
    engine: Engine | None = None,
    clock: Clock | None = None,
    lag: Mapping[int, int] | None = None,
    readings: Mapping[int, Reading] | None = None,
    committed_at: Mapping[int, float] | None = None,
) -> Counts:
    """Of a service without Kafka, in which nothing has happened unless it is given."""
    clock = clock or Clock()
    counts = counts or Counts(["qa"], "us", clock)
    source: Any = SimpleNamespace(
        lag=lambda: lag or {}, readings=lambda: readings or {}, committed_at=committed_at or {}
    )
    counts.registry.register(
        Gauges(engine or Engine(Policy()), source, {}, lambda: {"qa": 0.0}, lambda: True, clock)
    )
    return counts


def scrape(counts: Counts) -> Scrape:
    said, _ = text(counts.registry, "")
    return Scrape(said.decode())
