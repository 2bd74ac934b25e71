"""What does a test show that fails? What the service logs, and what the program has raised."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

from penstock.program.classify import classify


@contextmanager
def shown() -> Iterator[None]:
    """On stdout, which pytest shows of a test that fails; or as the test's own author has it."""
    if structlog.is_configured():
        yield
        return
    *usual, _ = structlog.get_config()["processors"]
    plain = structlog.dev.plain_traceback
    last = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=plain)
    structlog.configure(processors=[*usual, _only_the_programs_own, last])
    try:
        yield
    finally:
        structlog.reset_defaults()


def _only_the_programs_own(
    _: Any, __: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """How the model fails is no news to who has scripted it."""
    error = event.get("exc_info")
    if isinstance(error, BaseException) and classify(error).code != "program_error":
        del event["exc_info"]
    return event
