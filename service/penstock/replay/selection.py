"""Which offsets of one partition are wanted? A stretch, and a bit for each where not all are."""

import zlib
from base64 import b85decode, b85encode
from collections.abc import Collection
from dataclasses import dataclass

from penstock.errors import ConfigurationError

_LARGEST = 64 * 1024 * 1024
"""Bytes of a bit map that is read: half a billion offsets."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Half-open, from `start` to `end`. `bits`: the lowest bit of the first byte is `start`'s;
    None: all are wanted.
    """

    start: int
    end: int
    bits: bytes | None = None

    def __contains__(self, offset: int) -> bool:
        if not self.start <= offset < self.end:
            return False
        if self.bits is None:
            return True
        byte, bit = divmod(offset - self.start, 8)
        return bool(self.bits[byte] >> bit & 1)

    def count(self, start: int | None = None, end: int | None = None) -> int:
        """How many are wanted, of all or between these."""
        first = self.start if start is None else max(start, self.start)
        last = self.end if end is None else min(end, self.end)
        if first >= last:
            return 0
        if self.bits is None:
            return last - first
        byte, bit = divmod(first - self.start, 8)
        some = int.from_bytes(self.bits[byte : (last - self.start + 7) // 8], "little") >> bit
        return (some & ((1 << (last - first)) - 1)).bit_count()

    @property
    def text(self) -> str | None:
        """The bits, to be written down; None: all are wanted."""
        return None if self.bits is None else b85encode(zlib.compress(self.bits, 9)).decode()


def these(offsets: Collection[int]) -> Selection:
    """Of at least one; in any order, and some may be there twice."""
    start, end = min(offsets), max(offsets) + 1
    bits = bytearray((end - start + 7) // 8)
    for offset in offsets:
        byte, bit = divmod(offset - start, 8)
        bits[byte] |= 1 << bit
    made = Selection(start, end, bytes(bits))
    return Selection(start, end) if made.count() == end - start else made


def read(start: int, end: int, text: str | None) -> Selection:
    """As it was written down.

    Raises:
        ConfigurationError: it was not.
    """
    if text is None:
        return Selection(start, end)
    try:
        unpacked = zlib.decompressobj()
        bits = unpacked.decompress(b85decode(text), _LARGEST)
    except (ValueError, zlib.error) as error:
        raise ConfigurationError(f"which offsets are wanted cannot be read: {error}") from error
    if len(bits) != (end - start + 7) // 8:
        raise ConfigurationError("which offsets are wanted cannot be read: it is not whole")
    return Selection(start, end, bits)
