"""What is in one dead letter?"""

import asyncio
import re
import sys
from collections.abc import Iterator
from typing import Literal

import orjson

from penstock.cli.connecting import Way
from penstock.cli.dlq_open import in_words, opened
from penstock.cli.dlq_table import escaped
from penstock.errors import ConfigurationError
from penstock.events.envelope import rfc3339
from penstock.kafka.codec import Raw
from penstock.replay import letters, view
from penstock.replay.letters import told

Form = Literal["text", "hex", "raw"]

_PLACE = re.compile(r"(\d{1,9})/(\d{1,18})")
_ACROSS = 16
"""Bytes in a line of a hexdump."""


def run(way: Way, place: str, form: Form, output: Literal["text", "json"]) -> None:
    """Raises ConfigurationError, KafkaError."""
    if (found := _PLACE.fullmatch(place)) is None:
        raise ConfigurationError(f"{place}: write PARTITION/OFFSET, as in 2/117")
    letter, program = asyncio.run(_get(way, int(found[1]), int(found[2])))
    if form == "raw":
        sys.stdout.buffer.write(letter.value or b"")
        sys.stdout.buffer.flush()
    elif output == "json":
        print(orjson.dumps(told(letter, view.of_dead_letter(letter, program))).decode())
    else:
        print("\n".join(_lines(letter, hexadecimal=form == "hex")))


async def _get(way: Way, partition: int, offset: int) -> tuple[Raw, str]:
    async with opened(way) as desk:
        with in_words(desk.topic):
            [at] = desk.places([partition])
            return await letters.read(desk.reader, at, offset), desk.program


def _lines(letter: Raw, *, hexadecimal: bool) -> Iterator[str]:
    at = rfc3339(letter.timestamp_ms / 1000)
    yield f"{letter.topic} {letter.partition}/{letter.offset}  {at}"
    yield ""
    width = max((len(escaped(name)) for name, _ in letter.headers), default=0)
    for name, value in letter.headers:
        yield f"{escaped(name):{width}}  {_inline(value)}"
    yield ""
    yield f"key: {_inline(letter.key)}"
    yield f"value: {_size(letter.value)}"
    text = None if hexadecimal else _text(letter.value)
    if text is not None:
        yield text
    else:
        yield from _dump(letter.value or b"")


def _inline(value: bytes | None) -> str:
    if value is None:
        return "none"
    text = _text(value)
    return f"0x{value.hex()}" if text is None else escaped(text)


def _size(value: bytes | None) -> str:
    return "none" if value is None else f"{len(value)} bytes"


def _text(value: bytes | None) -> str | None:
    """None where it is none that can be printed."""
    try:
        text = (value or b"").decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t" for c in text) else None


def _dump(value: bytes) -> Iterator[str]:
    """As `hexdump -C` has it."""
    for at in range(0, len(value), _ACROSS):
        line = value[at : at + _ACROSS]
        halves = (line[:8].hex(" "), line[8:].hex(" "))
        letters = "".join(c if c.isascii() and c.isprintable() else "." for c in map(chr, line))
        yield f"{at:08x}  {halves[0]:23}  {halves[1]:23}  |{letters}|"
