"""What the console is told is written once for each look, whoever reads it."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.clock import Clock
from penstock.gateway.backlog import Backlog
from penstock.gateway.bulletin import Bulletin
from penstock.gateway.figures import Figures
from penstock.gateway.index import Index
from penstock.settings import GatewaySettings


def look(overview: Any) -> None:
    looked, overview.looked = overview.looked, asyncio.Event()
    looked.set()


async def test_all_consoles_are_told_the_same_bytes() -> None:
    overview: Any = SimpleNamespace(status=None, why_not="no Kafka", looked=asyncio.Event())
    clock = Clock()
    index = Index(1000, 10, 0, 1)
    bulletin = Bulletin(
        overview, Figures(clock.wall()), Backlog(), index, GatewaySettings(), clock, everybody=True
    )
    good = [True]
    one, other = bulletin.events(lambda: good[0]), bulletin.events(lambda: good[0])
    first = await anext(one)
    assert first is await anext(other)
    name, data = first.decode().strip().split("\n")
    assert (name, json.loads(data.removeprefix("data: "))["why_not"]) == (
        "event: overview",
        "no Kafka",
    )
    waiting = asyncio.create_task(anext(one))
    await asyncio.sleep(0)
    assert not waiting.done(), "nothing is told before the next look"
    overview.why_not = None
    look(overview)
    second = await waiting
    assert b'"why_not":null' in second
    assert await anext(other) is second
    # Who was slow gets the last one at once, and none twice.
    for _ in range(3):
        look(overview)
    assert await anext(one) is not second
    waiting = asyncio.create_task(anext(one))
    await asyncio.sleep(0)
    assert not waiting.done()
    # A token that is withdrawn ends the stream.
    good[0] = False
    look(overview)
    with pytest.raises(StopAsyncIteration):
        await waiting
