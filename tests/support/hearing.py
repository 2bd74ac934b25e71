"""What modules write into the log, with a signal to wait on.

heard = hear(monkeypatch, recovery)
...
line = await heard.until("found out what is done")
"""

import asyncio
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, NoReturn

import pytest
import structlog

PATIENCE_S = 10.0


@dataclass
class Heard:
    lines: list[dict[str, Any]] = field(default_factory=list)
    on_line: Callable[[dict[str, Any]], Any] = lambda _: None
    """Called at once, in the thread that says it: for who cannot await."""
    _waiting: list[asyncio.Event] = field(default_factory=list)

    def said(self, beginning: str) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["event"].startswith(beginning)]

    async def until(self, beginning: str, times: int = 1) -> dict[str, Any]:
        """The first line that begins so, or the one that is the second, third ..."""
        news = asyncio.Event()
        self._waiting.append(news)
        async with asyncio.timeout(PATIENCE_S):
            while len(found := self.said(beginning)) < times:
                await news.wait()
                news.clear()
        return found[times - 1]

    def __call__(self, _: Any, level: str, line: MutableMapping[str, Any]) -> NoReturn:
        said = {**line, "level": level}
        self.lines.append(said)
        self.on_line(said)
        for news in self._waiting:
            news.set()
        raise structlog.DropEvent


def hear(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> Heard:
    """Not by structlog's own capture: a command that ran in this process has set up the log."""
    heard = Heard()
    for module in modules:
        wrapper = structlog.make_filtering_bound_logger(0)
        logger = structlog.wrap_logger(None, [heard], wrapper, cache_logger_on_first_use=False)
        monkeypatch.setattr(module, "log", logger)
    return heard
