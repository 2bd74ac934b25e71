"""What passes through a service's loop, with a signal to wait on.

async with on.serving() as (service, talk):
    seen = observe(service, monkeypatch)
    ...
    await seen.until(facts.Pause)
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from penstock import app
from penstock.core import facts

PATIENCE_S = 10.0

Fact = facts.Event | facts.Command
F = TypeVar("F")


@dataclass
class Seen:
    """Events and commands, in their order."""

    all: list[Fact] = field(default_factory=list)
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def of(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.all if isinstance(fact, kind)]

    async def until(
        self, kind: type[F], times: int = 1, where: Callable[[F], bool] = lambda _: True
    ) -> F:
        """The first such fact, or the one that is the second, third ..."""
        async with asyncio.timeout(PATIENCE_S):
            while len(found := [fact for fact in self.of(kind) if where(fact)]) < times:
                self._news.clear()
                await self._news.wait()
        return found[times - 1]

    def add(self, fact: Fact) -> None:
        self.all.append(fact)
        self._news.set()


def observe(service: app.Service, monkeypatch: pytest.MonkeyPatch) -> Seen:
    """From now on."""
    seen, before = Seen(), service.loop._observe

    def observed(fact: Fact, job: Any) -> None:
        before(fact, job)
        seen.add(fact)

    monkeypatch.setattr(service.loop, "_observe", observed)
    return seen
