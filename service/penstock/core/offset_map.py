"""How do the offsets done beyond the commit fit into the commit's metadata string?

Run lengths or a bitset, whichever is shorter, in base 85, behind one letter that says which.
Nothing done is the empty string.
"""

import base64
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

RUNS, BITS = "r", "b"

_MORE = 0x80
"""LEB128: seven bits a byte, and this one where another byte follows."""

Range = tuple[int, int]
"""Half-open."""


@dataclass(frozen=True, slots=True)
class DoneBeyond:
    """The offsets done beyond a commit, as ascending ranges that do not touch."""

    committed: int = 0
    ranges: tuple[Range, ...] = ()
    _starts: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", tuple(start for start, _ in self.ranges))

    def __contains__(self, offset: int) -> bool:
        at = bisect_right(self._starts, offset) - 1
        return at >= 0 and offset < self.ranges[at][1]

    def within(self, start: int, end: int) -> Iterator[Range]:
        """Those of `[start, end)`, cut to it."""
        for at in range(max(0, bisect_right(self._starts, start) - 1), len(self.ranges)):
            begin, stop = self.ranges[at]
            if begin >= end:
                return
            if stop > start:
                yield max(begin, start), min(stop, end)

    def after(self, offset: int) -> "DoneBeyond":
        """The same, with the commit further on."""
        return DoneBeyond(offset, tuple((max(a, offset), b) for a, b in self.ranges if b > offset))


def encode(done: DoneBeyond) -> str:
    if not done.ranges:
        return ""
    runs = RUNS + to_text(_run_lengths(done))
    # Five letters hold four bytes.
    if (done.ranges[-1][1] - done.committed) * 5 // 32 >= len(runs):
        return runs
    return min(runs, BITS + to_text(_bitset(done)), key=len)


def decode(committed: int, text: str) -> DoneBeyond:
    """Raises ValueError for what `encode` never wrote."""
    if not text:
        return DoneBeyond(committed)
    data = from_text(text[1:])
    if text[0] == RUNS:
        return DoneBeyond(committed, tuple(_from_runs(committed, data)))
    if text[0] == BITS:
        return DoneBeyond(committed, tuple(_from_bits(committed, data)))
    raise ValueError(f"an offset map of an unknown kind: {text[0]!r}")


def gaps(start: int, outstanding: Iterable[int], end: int) -> Iterator[Range]:
    """What lies between the ascending outstanding offsets of `[start, end)`."""
    for offset in outstanding:
        if offset > start:
            yield start, offset
        start = max(start, offset + 1)
    if start < end:
        yield start, end


def _run_lengths(done: DoneBeyond) -> bytes:
    """Not done, done, not done, ... as numbers in LEB128; the last run is a done one."""
    written = bytearray()
    at = done.committed
    for start, end in done.ranges:
        written += leb128(start - at) + leb128(end - start)
        at = end
    return bytes(written)


def leb128(number: int) -> bytes:
    written = bytearray()
    while number >= _MORE:
        written.append(number % _MORE | _MORE)
        number //= _MORE
    written.append(number)
    return bytes(written)


def from_leb128(data: bytes) -> Iterator[int]:
    """Raises ValueError where the last number has no end."""
    number = shift = 0
    for byte in data:
        number |= byte % _MORE << shift
        shift += 7
        if byte < _MORE:
            yield number
            number = shift = 0
    if shift:
        raise ValueError("a number that ends in the middle")


def _from_runs(committed: int, data: bytes) -> Iterator[Range]:
    lengths = list(from_leb128(data))
    if len(lengths) % 2:
        raise ValueError("an offset map that ends in the middle")
    at = committed
    for waiting, done in zip(lengths[::2], lengths[1::2], strict=True):
        yield at + waiting, at + waiting + done
        at += waiting + done


def _bitset(done: DoneBeyond) -> bytes:
    bits = 0
    for start, end in done.ranges:
        bits |= ((1 << (end - start)) - 1) << (start - done.committed)
    return bits.to_bytes((done.ranges[-1][1] - done.committed + 7) // 8, "little")


def _from_bits(committed: int, data: bytes) -> Iterator[Range]:
    bits, at = int.from_bytes(data, "little"), committed
    while bits:
        waiting = (bits & -bits).bit_length() - 1
        bits >>= waiting
        done = (~bits & (bits + 1)).bit_length() - 1
        bits >>= done
        yield at + waiting, at + waiting + done
        at += waiting + done


def to_text(data: bytes) -> str:
    return base64.b85encode(data).decode()


def from_text(text: str) -> bytes:
    """Raises ValueError for what `to_text` never wrote."""
    return base64.b85decode(text)
