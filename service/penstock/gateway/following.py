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
) -> AsyncGenerator[Said | bytes, None]:
    """The token events in their order; the last thing is the completion, as `completion` reads it
    from its topic. `after`: what the client has seen.

    Raises:
        KafkaError: they cannot be read any more.
    """
    skipping = after is not None and after.place is None
    heard, over = -1 if after is None else after.sequence, False
    last = -1
    while True:
        said = stream.pop()
        if said is not None:
            # A rerun that knows nothing of its predecessor counts from 0 again.
            skipping = skipping and said.sequence <= heard and said.sequence > last
            last = said.sequence
            if not skipping:
                yield said
            over = said.kind == "end"
        elif stream.ended is None:
            await stream.something()
        elif over or _nothing_comes(stream, stream.ended, heard) or not await _more(stream):
            yield await completion(stream.ended)
            return


def _nothing_comes(stream: Stream, ended: Ended, heard: int) -> bool:
    if ended.last_sequence is None:
        return True
    return stream.caught_up and heard >= ended.last_sequence


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
