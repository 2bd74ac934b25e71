"""Are the questions of a service traced? Without OpenTelemetry nothing of it is imported."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from penstock.clock import Clock
from penstock.job import Sink
from penstock.kafka.sink import Target
from penstock.settings.tracing import tells_content
from penstock.telemetry.tracing import switch

if TYPE_CHECKING:
    from penstock.telemetry.tracing.questions import Traces


class Untraced:
    """Nobody wants to know."""

    observe = None

    def sink(self, sink: Sink, completions: Target) -> Sink:  # noqa: ARG002 - as of `Traces`
        """That one."""
        return sink

    async def stop(self) -> None:
        """There is nothing to stop."""


def traces(
    instance: str, group: str, clock: Clock, hide: Callable[[str], str]
) -> "Traces | Untraced":
    """See `penstock.telemetry.tracing.questions`. `instance`: see `switch`."""
    exporting = switch.exporting("penstock", instance)
    if exporting is None:
        return Untraced()
    from penstock.telemetry.tracing.questions import Traces  # noqa: PLC0415

    return Traces(exporting, group, clock, hide, tells_content=tells_content())
