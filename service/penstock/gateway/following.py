"""What does one client read of a question, from where on, and when is it all?"""

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import NamedTuple

from penstock.gateway.index import Ended, Place
from penstock.gateway.stream import Said, Stream

TAIL_SECONDS = 5.0
"""How long a completion waits for the last token event: its topic is read independently."""

_ID = re.compile(r"(\d{1,9})-(\d{1,18})-(\d{1,9})", re.ASCII)


class Seen(NamedTuple):
    """What a client has read last. `place`: None where it knows no more than the sequence."""

    sequence: int
    place: Place | None = None


def event_id(said: Said) -> str:
    """By which a client names it when it comes back: any replica finds it by this."""
    return f"{said.partition}-{said.offset}-{said.sequence}"


def seen(event_id: str) -> Seen | None:
    """What `event_id` has given; None: it is none."""
    found = _ID.fullmatch(event_id)
    if found is None:
        return None
    partition, offset, sequence = map(int, found.groups())
    return Seen(sequence, Place(partition, offset))


async def follow(
    stream: Stream, completion: Callable[[Ended], Awaitable[bytes]], after: Seen | None = None
) -> AsyncGenerator[list[Said | bytes], None]:
    """The token events in their order, all that are there at a time; the last thing is the
    completion, as `completion` reads it from its topic. `after`: what the client has seen; where
    its place is known, `stream` begins with that: it may be the end.

    Raises:
        KafkaError: they cannot be read any more.
    """
    skipping, over, last = after is not None, False, -1
    while True:
        ready: list[Said | bytes] = []
        for said in (taken := stream.take()):
            skipping = skipping and after is not None and _was_seen(said, after, last)
            over, last = said.kind == "end", said.sequence
            if not skipping:
                ready.append(said)
        if ready:
            yield ready
        if taken:
            continue
        if stream.ended is None:
            await stream.something()
        elif over or stream.ended.last_sequence is None or not await _more(stream):
            yield [await completion(stream.ended)]
            return


def _was_seen(said: Said, after: Seen, last: int) -> bool:
    if after.place is not None:
        return said.offset <= after.place.offset
    # A rerun that knows nothing of its predecessor counts from 0 again.
    return last < said.sequence <= after.sequence


async def _more(stream: Stream) -> bool:
    """Whether something has come in time."""
    if not stream.caught_up:
        await stream.something()
        return True
    try:
        async with asyncio.timeout(TAIL_SECONDS):
            await stream.something()
    except TimeoutError:
        return False
    return True
