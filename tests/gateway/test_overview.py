"""What the gateway knows of the group is looked at again and again, whatever goes wrong."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from penstock.clock import Clock
from penstock.gateway import overview
from penstock.gateway.backlog import Backlog
from penstock.gateway.overview import Overview
from penstock.settings import TopicSettings


@pytest.mark.parametrize(
    "failure", [ZeroDivisionError("?"), asyncio.CancelledError("the client's")]
)
async def test_a_look_that_nobody_foresaw_is_not_the_last(
    failure: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0

    @asynccontextmanager
    async def looking(*_: Any, **__: Any) -> AsyncIterator[None]:
        nonlocal looks
        looks += 1
        raise failure
        yield

    monkeypatch.setattr(overview, "looking", looking)
    monkeypatch.setattr(overview, "EVERY", 0.0)
    seen = Overview({}, TopicSettings(), "g", Backlog(), Clock())
    seen.start()
    async with asyncio.timeout(5):
        await seen.looked.wait()
        await seen.looked.wait()
    await seen.stop()
    assert looks > 1
    assert seen.why_not == (str(failure) or type(failure).__name__)
