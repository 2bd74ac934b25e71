"""Are traces wanted, and can they be had? Without OpenTelemetry nothing of it is imported."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING
from uuid import uuid4

from penstock.settings import tracing

if TYPE_CHECKING:
    from penstock.telemetry.tracing.exporting import Exporting

PARTS = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")

log = logging.getLogger("penstock.tracing")


def exporting(name: str, instance: str) -> "Exporting | None":
    """Who sends spans from now on, until it is stopped; None: nobody does.

    `name` of the service, and `instance`: unless the environment names them.
    """
    if tracing.endpoint() is None:
        return None
    if not all(map(_installed, PARTS)):
        log.warning(
            "no traces: their endpoint is set, and OpenTelemetry is not installed; to have them: "
            "pip install 'penstock[otel]'"
        )
        return None
    from penstock.telemetry.tracing.exporting import Exporting  # noqa: PLC0415

    try:
        return Exporting(name, instance)
    except ValueError as error:
        # Questions are answered without them, too.
        log.warning("no traces: OpenTelemetry's variables are wrong: %s", error)
        return None


@contextmanager
def while_it_runs(name: str) -> Iterator[None]:
    """Spans of a command are sent, if any are; see `exporting`."""
    sends = exporting(name, uuid4().hex[:12])
    try:
        yield
    finally:
        if sends is not None:
            sends.end()


def _installed(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False
