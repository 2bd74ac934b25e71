"""What one client reads of a question: all of it, once, and then how it ended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from penstock.events.token import encode
from penstock.gateway import following
from penstock.gateway.following import Seen, event_id, follow, seen
from penstock.gateway.index import Ended, Place
from penstock.gateway.stream import Said, Stream

COMPLETION = b'{"type": "completion"}'


def said(offset: int, sequence: int, kind: str = "token") -> Said:
    return Said(0, offset, sequence, kind, encode(kind, "q", sequence, 1))


def ended(last_sequence: int | None) -> Ended:
    return Ended(Place(0, 9), "completed", 0, last_sequence, None, None, None)


async def _completion(_: Ended) -> bytes:
    return COMPLETION


def live() -> Stream:
    return Stream("q", 0, 0, lambda _: None, live=True)


async def read(stream: Stream, after: Seen | None = None) -> list[Any]:
    return [
        event.sequence if isinstance(event, Said) else event
        async for piece in follow(stream, _completion, after)
        for event in piece
    ]


async def test_the_completion_comes_last_even_where_it_is_read_first() -> None:
    stream = live()
    stream.offer(said(0, 0))
    stream.end(ended(2))
    reading = follow(stream, _completion)
    assert await anext(reading) == [said(0, 0)]
    waiting = asyncio.ensure_future(_rest(reading))
    await asyncio.sleep(0)
    assert not waiting.done()
    stream.offer(said(1, 1))
    stream.offer(said(2, 2, "end"))
    assert await waiting == [said(1, 1), said(2, 2, "end"), COMPLETION]


async def _rest(reading: AsyncIterator[Any]) -> list[Any]:
    return [event async for piece in reading for event in piece]


async def test_one_that_wanted_no_tokens_ends_at_once() -> None:
    stream = live()
    stream.end(ended(None))
    assert await read(stream) == [COMPLETION]


async def test_a_reader_goes_on_behind_what_it_has_seen() -> None:
    stream = live()
    for number in range(3):
        stream.offer(said(number, number))
    stream.offer(said(3, 3, "end"))
    stream.end(ended(3))
    assert await read(stream, Seen(1)) == [2, 3, COMPLETION]


async def test_a_reader_that_has_seen_the_end_waits_for_nothing() -> None:
    stream = Stream("q", 0, 3, lambda _: None, live=True)
    # It begins with what was seen last, which says whether that was the end.
    stream.offer(said(3, 3, "end"))
    stream.end(ended(3))
    assert await read(stream, Seen(3, Place(0, 3))) == [COMPLETION]


async def test_a_rerun_that_begins_anew_is_read_whole() -> None:
    stream = live()
    for number in range(4):
        stream.offer(said(number, number))
    stream.offer(said(4, 0, "restart"))
    stream.offer(said(5, 1))
    stream.offer(said(6, 2, "end"))
    stream.end(ended(2))
    assert await read(stream, Seen(2)) == [3, 0, 1, 2, COMPLETION]


async def test_a_token_stream_without_an_end_is_not_waited_for_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "TAIL_SECONDS", 0.01)
    stream = live()
    stream.offer(said(0, 0))
    stream.end(ended(5))
    assert await read(stream) == [0, COMPLETION]


def test_an_event_is_found_again_by_its_id() -> None:
    assert seen(event_id(Said(3, 4711, 17, "token", b""))) == Seen(17, Place(3, 4711))


@pytest.mark.parametrize("text", ["", "1-2", "1-2-3-4", "-1-2-3", "1-2-٣", "1-2-3\n", "a-b-c"])
def test_what_is_no_event_id_is_none(text: str) -> None:
    assert seen(text) is None
