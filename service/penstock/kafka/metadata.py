"""What a commit says beside the offset: its metadata string, which Kafka keeps and hands back.

JSON with a version, so that a later release can say more.
"""

from typing import Any

import orjson

from penstock.core.offset_map import DoneBeyond, decode

VERSION = 1
LIMIT = 4096
"""Bytes; a broker's default `offset.metadata.max.bytes`."""


def write(done: str) -> str:
    """Empty where nothing is done beyond the offset, or more than a broker takes."""
    text = orjson.dumps({"v": VERSION, "done": done}).decode() if done else ""
    return text if len(text) <= LIMIT else ""


def read(offset: int, text: str) -> DoneBeyond:
    """Raises ValueError for what is not ours, or of a version of ours that is not known here."""
    if not text:
        return DoneBeyond(offset)
    body: Any = orjson.loads(text)
    done = body.get("done") if isinstance(body, dict) and body.get("v") == VERSION else None
    if not isinstance(done, str):
        raise ValueError("not of a version that is known here")  # noqa: TRY004 - data, not a call
    return decode(offset, done)
