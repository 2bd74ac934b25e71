"""How does a family of the table become what is served, and in which format?

Names, texts and buckets stand in the table alone. Exemplars exist in OpenMetrics only.
"""

from collections.abc import Iterable, Sequence

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from penstock.telemetry.metrics import Family

# One more series for each, with the time of its first count: nobody looks at those.
disable_created_metrics()  # type: ignore[no-untyped-call]

Sample = tuple[Sequence[str], float]
"""Its labels' values, in the order of the table, and its own."""

_READ = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily}


def of_this_process() -> CollectorRegistry:
    """What is served, with what the system says of the process: `process_*`."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry


def counter(family: Family, registry: CollectorRegistry) -> Counter:
    return Counter(family.name, family.means, family.labels, registry=registry)


def histogram(family: Family, registry: CollectorRegistry) -> Histogram:
    return Histogram(
        family.name, family.means, family.labels, buckets=family.buckets, registry=registry
    )


def read(family: Family, samples: Iterable[Sample]) -> Metric:
    """What is not counted here but read from whoever knows it."""
    served: GaugeMetricFamily | CounterMetricFamily = _READ[family.kind](
        family.name, family.means, labels=family.labels
    )
    for labels, value in samples:
        served.add_metric(labels, value)
    return served


def text(what: Collector, accept: str) -> tuple[bytes, str]:
    """All of it, and its content type. `accept`: the request's header, empty if it has none."""
    encode, content_type = choose_encoder(accept)
    return encode(what), content_type
