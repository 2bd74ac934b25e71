"""What do several workers measure together? Pure: what they have said in, what is served out.

Counters and histograms go on counting when a worker begins anew: what the process before it had
said last is added to what the one in its place says, so that no rate sees a fall. What it counted
between then and its death nobody knows.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain

from prometheus_client.core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar, Sample

from penstock.telemetry.metrics import Together, together

ACCEPT = "application/openmetrics-text; version=1.0.0"
"""In which format a worker is asked: the only one with exemplars."""

_COUNTED = {"counter", "histogram"}
_BY: Mapping[Together, Callable[[float, float], float]] = {
    "sum": lambda one, other: one + other,
    "max": max,
    "min": min,
}


def read(said: str) -> list[Metric]:
    """Raises ValueError: it is no OpenMetrics."""
    return list(text_string_to_metric_families(said))  # type: ignore[no-untyped-call]


class Measured:
    """Of one worker, through all the processes that were in its place."""

    def __init__(self) -> None:
        self._before: list[Metric] = []
        self._last: list[Metric] = []

    def says(self, now: Sequence[Metric]) -> list[Metric]:
        """All of it, with what was counted before."""
        self._last = [metric for metric in now if metric.type in _COUNTED]
        return _added([*self._before, *now])

    def says_nothing(self) -> list[Metric]:
        """What was counted stands; how it is now, nobody knows."""
        return _added([*self._before, *self._last])

    def ended(self) -> None:
        """The next that says something is another process."""
        self._before = self.says_nothing()
        self._last = []


def merged(workers: Iterable[Iterable[Metric]]) -> list[Metric]:
    """As one process would say it: each family by its rule in `penstock.telemetry.metrics`."""
    found = _by_name(chain.from_iterable(workers))
    return [_folded(several, together(name)) for name, several in found.items()]


def _added(metrics: Iterable[Metric]) -> list[Metric]:
    return [_folded(several, "sum") for several in _by_name(metrics).values()]


def _by_name(metrics: Iterable[Metric]) -> dict[str, list[Metric]]:
    found: dict[str, list[Metric]] = {}
    for metric in metrics:
        found.setdefault(metric.name, []).append(metric)
    return found


def _folded(several: Sequence[Metric], rule: Together) -> Metric:
    """Series of the same labels become one; a histogram's stay together, in their order."""
    first, by = several[0], _BY[rule]
    samples: dict[tuple[str, frozenset[tuple[str, str]]], Sample] = {}
    for metric in several:
        for sample in metric.samples:
            series = (sample.name, frozenset(sample.labels.items()))
            known = samples.get(series)
            samples[series] = (
                sample
                if known is None
                else known._replace(
                    value=by(known.value, sample.value),
                    exemplar=_newer(known.exemplar, sample.exemplar),
                )
            )
    folded = Metric(first.name, first.documentation, first.type, first.unit)
    folded.samples = list(samples.values())
    return folded


def _newer(one: Exemplar | None, other: Exemplar | None) -> Exemplar | None:
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda exemplar: float(exemplar.timestamp or 0))
