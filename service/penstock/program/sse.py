"""Where does a frame of an event stream end? Bytes in, the data of whole events out.

Of the format only what a model's stream uses counts: `data`. Comments keep a connection alive and
say nothing; names, ids and retry times are left out.
"""

from dspy.lm15 import TransportError

MAX_FRAME = 16 * 1024 * 1024
"""Bytes of one event. Some endpoints say a whole answer in one; more than this is no answer."""


class Frames:
    """Fed with bytes, cut anywhere; gives the data of every event that has ended."""

    def __init__(self) -> None:
        self._rest: list[bytes] = []  # of a line that has not ended
        self._size = 0
        self._data: list[bytes] = []  # the lines of an event that has not ended

    def feed(self, received: bytes) -> list[bytes]:
        """Raises TransportError for an event that is too long."""
        if b"\n" not in received:
            self._hold(received)
            return []
        if self._rest:
            received = b"".join((*self._rest, received))
            self._rest.clear()
        *lines, rest = received.split(b"\n")
        frames: list[bytes] = []
        data = self._data
        for line in lines:
            if not line or line == b"\r":
                if data:
                    frames.append(data[0] if len(data) == 1 else b"\n".join(data))
                    data.clear()
            elif line.startswith(b"data:"):
                data.append(line[5:].strip(b" \r"))
        self._size = sum(map(len, data))
        if rest or data:
            self._hold(rest)
        return frames

    def finish(self) -> list[bytes]:
        """The last event, where the stream ended without the empty line behind it."""
        return self.feed(b"\n\n")

    def _hold(self, part: bytes) -> None:
        self._size += len(part)
        if self._size > MAX_FRAME:
            raise TransportError(f"an event of the stream is longer than {MAX_FRAME >> 20} MiB")
        self._rest.append(part)
