"""What is measured of the gateway? What each family is called and means: `telemetry/metrics.py`."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from penstock.gateway.fan_out import FanOut
from penstock.gateway.index import Index
from penstock.telemetry import metrics
from penstock.telemetry.series import counter, histogram, read


class Meters:
    """Of what goes by. `registry`: that serves them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._requests = counter(metrics.GATEWAY_REQUESTS, registry)
        self._head = histogram(metrics.GATEWAY_SECONDS, registry)
        self.delayed = histogram(metrics.GATEWAY_DELAY, registry).observe
        """Takes the seconds from a record to its streams."""

    def head(self, route: str, seconds: float) -> None:
        """An answer has begun."""
        self._head.labels(route).observe(seconds)

    def answered(self, route: str, status: int) -> None:
        """... and ended."""
        self._requests.labels(route, str(status)).inc()

    def look_at(self, index: Index, fan_out: FanOut) -> None:
        """From now on, whenever somebody scrapes."""
        self._registry.register(_Standing(index, fan_out))


class _Standing(Collector):
    def __init__(self, index: Index, fan_out: FanOut) -> None:
        self._index = index
        self._fan_out = fan_out

    def collect(self) -> Iterator[Metric]:
        streams, behind = self._fan_out.streams()
        yield read(metrics.GATEWAY_STREAMS, [((), streams)])
        yield read(metrics.GATEWAY_BEHIND, [((), behind)])
        found = self._index.open
        states = [(["open"], found), (["ended"], len(self._index) - found)]
        yield read(metrics.GATEWAY_INDEX, states)
