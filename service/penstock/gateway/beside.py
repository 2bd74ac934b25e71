"""What does a gateway serve on a port that its clients do not see? Its metrics and its probes."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from penstock import __version__
from penstock.gateway import health
from penstock.gateway.parts import Parts
from penstock.telemetry import metrics, probes
from penstock.telemetry.series import of_this_process, read

NOT_BUILT = "the index of the last questions is being built"


class Beside:
    """`registry`: of what is measured; `parts`: of the gateway, as soon as it serves; `port`: None:
    there is none.
    """

    def __init__(self) -> None:
        self.registry = of_this_process()
        self.parts: Parts | None = None
        self.port: int | None = None
        self.checks = probes.Checks(self._live, self._ready, self._started)

    def _live(self) -> str | None:
        return None if self.parts is None else health.live(self.parts)

    def _ready(self) -> str | None:
        return NOT_BUILT if self.parts is None else health.ready(self.parts)

    def _started(self) -> str | None:
        return NOT_BUILT if self.parts is None else None


class _Build(Collector):
    def collect(self) -> Iterator[Metric]:
        yield read(metrics.BUILD, [([__version__], 1)])


@asynccontextmanager
async def beside(port: int | None) -> AsyncIterator[Beside]:
    """While the block runs, from before Kafka is asked for anything. None as port: nothing.

    Raises:
        ConfigurationError: the port is taken.
    """
    told = Beside()
    told.registry.register(_Build())
    if port is None:
        yield told
        return
    setting = "GATEWAY__TELEMETRY_PORT"
    async with probes.serve(port, told.registry, told.checks, setting=setting) as found:
        told.port = found
        yield told
