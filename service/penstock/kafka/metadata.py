"""What a commit says beside the offset: its metadata string, which Kafka keeps and hands back.

JSON with a version, so that a later release can say more. Version 2 names running work, which a
release that knows only version 1 must not start: to it, it is one of a later release.
"""

from dataclasses import dataclass
from typing import Any

import orjson

from penstock.core.bookmark import Bookmark
from penstock.core.facts import Head
from penstock.core.handover import Run, encode
from penstock.core.handover import decode as decode_runs
from penstock.core.offset_map import DoneBeyond, decode

WITHOUT_RUNS, WITH_RUNS = 1, 2

OVERHEAD = 136
"""Bytes around the offset map at most, however high its offsets."""


@dataclass(frozen=True, slots=True)
class LastCommit:
    """What the owner before wrote.

    Args:
        done: the offsets that are done.
        writer: the process that wrote it.
        bookmark: every completion that `done` does not cover is there or behind.
        clean: whether no run was cut off.
        runs: what is not to be started.
    """

    done: DoneBeyond
    writer: str
    bookmark: Bookmark
    clean: bool
    runs: tuple[Run, ...] = ()


class ForeignError(ValueError):
    """Another program wrote it, or an operator who resets offsets."""


class LaterVersionError(ValueError):
    """A release of ours wrote it that says what this one cannot read."""


def write(head: Head, writer: str, now: float) -> str:
    """`writer`: a random name of the process. `now`: in monotonic seconds, as the head's times."""
    said = {
        "penstock": WITH_RUNS if head.runs else WITHOUT_RUNS,
        "writer": writer,
        "done": head.done,
        "bookmark": list(head.bookmark),
        "clean": head.clean,
        "runs": encode(head.runs, head.offset, now) if head.runs else [],
    }
    return orjson.dumps(said).decode()


def read(offset: int, text: str, now: float) -> LastCommit:
    """What a commit of this offset says. `now`: when it was read, or later.

    Raises:
        ForeignError: it is empty or not ours.
        LaterVersionError: it is ours, but not of a version that is known here.
    """
    try:
        body: Any = orjson.loads(text)
        version = body["penstock"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ForeignError("empty" if not text else "not of ours") from error
    if version not in (WITHOUT_RUNS, WITH_RUNS):
        raise LaterVersionError(f"version {version!r}")
    try:
        return _parsed(offset, body, now)
    except (KeyError, TypeError, ValueError) as error:
        raise ForeignError(f"looks like ours and is not: {error}") from error


def _parsed(offset: int, body: Any, now: float) -> LastCommit:
    position, partitions = (int(number) for number in body["bookmark"])
    if position < 0 or partitions < 1 or not isinstance(body["done"], str):
        raise ValueError("its bookmark or its map cannot be")
    done = decode(offset, body["done"])
    bookmark = Bookmark(position, partitions)
    runs = tuple(decode_runs(dict(body["runs"]), offset, now))
    return LastCommit(done, str(body["writer"]), bookmark, body["clean"] is True, runs)
