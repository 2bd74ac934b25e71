"""Which events are in a stream of bytes? Server-sent events (WHATWG HTML, 9.2).

Lines end in LF or CRLF here, as every server of them writes. What a stream's end cuts off is no
event.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """One event. `last_id`: by which one comes back to what is behind it; empty: none."""

    name: str
    data: bytes
    last_id: str


class Frames:
    """Fed with bytes, cut anywhere; gives every event that has ended."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # of a line that has not ended
        self._name = ""
        self._data: list[bytes] = []
        self._last_id = ""

    def feed(self, received: bytes) -> list[Frame]:
        first, *others = received.split(b"\n")
        self._rest.append(first)
        if not others:
            return []
        lines = [b"".join(self._rest), *others]
        self._rest = [lines.pop()]
        return [frame for line in lines if (frame := self._line(line.removesuffix(b"\r")))]

    def _line(self, line: bytes) -> Frame | None:
        if not line:
            return self._ended()
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value.decode(errors="replace")
        elif field == b"id" and b"\0" not in value:
            self._last_id = value.decode(errors="replace")
        return None

    def _ended(self) -> Frame | None:
        name, data = self._name, self._data
        self._name, self._data = "", []
        if not data:
            return None
        return Frame(name or "message", b"\n".join(data), self._last_id)
