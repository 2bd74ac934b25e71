"""A client that is cut off while it begins leaves no connection open."""

import asyncio

import pytest

from penstock.kafka.stopping import started


async def _cut_off(starting: "asyncio.Task[None]") -> None:
    await asyncio.sleep(0)
    starting.cancel()
    for _ in range(3):
        await asyncio.sleep(0)


async def test_a_start_that_is_cut_off_goes_to_its_end() -> None:
    connected, closed = asyncio.Event(), asyncio.Event()

    async def start() -> None:
        await connected.wait()
        closed.set()

    starting = asyncio.ensure_future(started(start()))
    await _cut_off(starting)
    assert not starting.done()
    connected.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert closed.is_set()


async def test_what_goes_wrong_with_it_then_is_nobodys() -> None:
    answered = asyncio.Event()

    async def start() -> None:
        await answered.wait()
        raise ConnectionResetError

    starting = asyncio.ensure_future(started(start()))
    await _cut_off(starting)
    answered.set()
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_what_never_begins_is_not_waited_for() -> None:
    starting = asyncio.ensure_future(started(asyncio.Event().wait(), seconds=0.01))  # type: ignore[arg-type]
    await _cut_off(starting)
    with pytest.raises(asyncio.CancelledError):
        await starting


async def test_what_is_cut_off_twice_does_not_go_on_alone() -> None:
    ended = asyncio.Event()

    async def start() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    starting = asyncio.ensure_future(started(start(), seconds=3600))
    await _cut_off(starting)
    await _cut_off(starting)
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert ended.is_set()


async def test_what_a_client_raises_is_raised() -> None:
    async def start() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await started(start())
