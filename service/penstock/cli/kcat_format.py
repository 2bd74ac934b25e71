"""How does kcat print a record? Its format strings (`-f`) and its envelope (`-J`).

See its format.c and json.c. Keys, values and headers are passed through byte for byte.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from aiokafka import ConsumerRecord

from penstock.errors import ConfigurationError

NULL = b"NULL"
"""What `-Z` prints for a key or a value that is not there."""

Piece = bytes | Callable[[ConsumerRecord], bytes]
"""Of a format: what is the same for every record, or is found in it."""

_LETTERS: Mapping[str, Piece] = {
    "S": lambda record: b"%d" % _length(record.value),
    "R": lambda record: _length(record.value).to_bytes(4, "big", signed=True),
    "K": lambda record: b"%d" % _length(record.key),
    "T": lambda record: b"%d" % record.timestamp,
    "h": lambda record: b",".join(_header(*header) for header in record.headers),
    "t": lambda record: record.topic.encode(),
    "p": lambda record: b"%d" % record.partition,
    "o": lambda record: b"%d" % record.offset,
    "%": b"%",
}
_KNOWN = f"%s %k %{' %'.join(_LETTERS)}"

_PART = re.compile(r"%(.?)|([^%]+)", re.DOTALL)
_ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{1,2})|(0[0-7]{0,3})|([1-9]\d{0,2})|(.))", re.DOTALL)
_NAMED = {b"n": b"\n", b"r": b"\r", b"t": b"\t"}

_TIMESTAMP_TYPES = {0: "create", 1: "logappend"}


@dataclass(frozen=True, slots=True)
class Format:
    """What is printed of each record, one piece after the other."""

    pieces: tuple[Piece, ...]

    def __call__(self, record: ConsumerRecord) -> bytes:
        return b"".join(
            piece if isinstance(piece, bytes) else piece(record) for piece in self.pieces
        )


def compiled(text: str, null: bytes = b"") -> Format:
    r"""Of `%s` and the like, and of `\n` and the like.

    `null`: for a key or a value that is not there, or that is empty, as kcat has it.

    Raises:
        ConfigurationError: it asks for what there is not.
    """
    letters = {
        **_LETTERS,
        "s": lambda record: record.value or null,
        "k": lambda record: record.key or null,
    }
    return Format(tuple(_pieces(text, letters)))


def _pieces(text: str, letters: Mapping[str, Piece]) -> Iterator[Piece]:
    for letter, literal in _PART.findall(text):
        if literal:
            # What was typed may be no text.
            yield _ESCAPE.sub(_unescaped, literal.encode(errors="surrogateescape"))
        elif letter in letters:
            yield letters[letter]
        else:
            wrong = f"there is no %{letter}" if letter else "it ends in a lone %"
            raise ConfigurationError(f"-f {text}: {wrong}; write {_KNOWN}")


def _unescaped(found: re.Match[bytes]) -> bytes:
    hexadecimal, octal, decimal, letter = found.groups()
    for digits, base in ((hexadecimal, 16), (octal, 8), (decimal, 10)):
        if digits is not None:
            return bytes([int(digits, base) & 0xFF])
    return _NAMED.get(letter, letter)


def _length(value: bytes | None) -> int:
    return -1 if value is None else len(value)


def _header(name: str, value: bytes | None) -> bytes:
    return name.encode() + b"=" + (NULL if value is None else value)


def envelope(record: ConsumerRecord, broker: int) -> bytes:
    """One line. What is no UTF-8 is replaced: JSON cannot carry it. `broker`: who leads the
    partition, -1 where that is not known.
    """
    said: dict[str, Any] = {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
    }
    if record.timestamp >= 0:
        said["tstype"] = _TIMESTAMP_TYPES.get(record.timestamp_type, "unknown")
        said["ts"] = record.timestamp
    said["broker"] = broker
    if record.headers:
        # As kcat has them: names and values in turn, for a name may be there twice.
        said["headers"] = [part for name, value in record.headers for part in (name, _text(value))]
    said["key"] = _text(record.key)
    said["payload"] = _text(record.value)
    return orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE)


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
