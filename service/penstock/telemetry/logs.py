"""Logs on stderr: JSON for machines, lines for people. Never the text of a question."""

import contextlib
import logging
import sys
import threading
from collections.abc import Callable, MutableMapping
from typing import Any, Literal, TextIO

import structlog

_NOISY = {
    # Reports every rebalance, reconnect and unknown leader; what matters of it we say ourselves.
    "aiokafka": logging.CRITICAL,
    # Warns with the names and texts of fields; its errors quote whole questions.
    "dspy": logging.CRITICAL,
    "LiteLLM": logging.ERROR,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "asyncio": logging.WARNING,
    # A line for every batch that its endpoint does not take; that it does not, we say once.
}


Form = Literal["auto", "json", "console"]


def configure(
    level: str,
    stream: TextIO | None = None,
    hide: Callable[[str], str] = str,
    form: Form = "auto",
    *,
    terminal: bool | None = None,
    **everywhere: Any,
) -> None:
    """Ours and every library's records through one formatter.

    Args:
        level: the least that is logged.
        stream: where to. Default: stderr.
        hide: takes secrets out of each line: a traceback, or a library at `debug`, may quote any.
        form: of a line: `json`, or `console` for people; `auto`: for people on a terminal.
        terminal: whether lines end on one. Default: as the stream says.
        everywhere: what stands in each line.
    """
    stream = stream or sys.stderr

    def also(_: Any, __: str, said: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        said.update(everywhere)
        return said

    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        also,
    ]
    if terminal is None:
        terminal = stream.isatty()
    last: list[Any] = (
        [
            structlog.dev.ConsoleRenderer(
                colors=terminal, exception_formatter=structlog.dev.plain_traceback
            )
        ]
        if form == "console" or (form == "auto" and terminal)
        else [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        _Hiding(
            hide,
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in _NOISY.items():
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(logging.DEBUG if level == "debug" else least)


def pass_on(line: str) -> None:
    """Writes what another process has formatted, between our own lines. From any thread."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.StreamHandler) and handler.lock is not None:
            with handler.lock, contextlib.suppress(OSError):
                # As ours are lost, and no more, where nobody reads them any longer.
                handler.stream.write(line)
                handler.flush()


def tell_what_nobody_catches() -> None:
    """Python itself writes what ends a thread, or a destructor, past every formatter."""
    log = logging.getLogger("penstock")

    def thread(failed: threading.ExceptHookArgs) -> None:
        name = failed.thread.name if failed.thread is not None else "?"
        log.error("a thread has failed: %s", name, exc_info=failed.exc_value)

    def destructor(failed: "sys.UnraisableHookArgs") -> None:
        log.error("what was thrown away has failed", exc_info=failed.exc_value)

    threading.excepthook = thread
    sys.unraisablehook = destructor


class _Hiding(structlog.stdlib.ProcessorFormatter):
    """The last who sees a line."""

    def __init__(self, hide: Callable[[str], str], **formatting: Any) -> None:
        super().__init__(**formatting)
        self._hide = hide

    def format(self, record: logging.LogRecord) -> str:
        return self._hide(super().format(record))
