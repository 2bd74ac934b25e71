"""Where in the completions must the next owner of a partition begin to read?"""

from typing import NamedTuple


class Bookmark(NamedTuple):
    """A position in the completions partition that answers one partition of questions.

    `partitions` of the completions topic say which one that is.
    """

    position: int
    partitions: int


class KnownEnd:
    """The end of the completions, as far as acknowledgements have told us.

    What we have sent lands at or behind the end that we knew when we sent it; so this is where
    whoever must find it begins, until it is acknowledged.

    Args:
        position: where the completions ended when they were read.
    """

    def __init__(self, position: int) -> None:
        self._end = position
        self._in_flight: dict[int, int] = {}

    def sent(self, offset: int) -> None:
        """The completion of this offset is on its way; sent again, its first time counts."""
        self._in_flight.setdefault(offset, self._end)

    def acknowledged(self, offset: int, position: int | None) -> None:
        """`position` of the completion, or None where the broker did not tell."""
        self._in_flight.pop(offset, None)
        if position is not None:
            self._end = max(self._end, position + 1)

    def saw(self, position: int) -> None:
        """The completions go up to here at least."""
        self._end = max(self._end, position)

    def position(self) -> int:
        """Every completion of ours that is not acknowledged is here or behind."""
        # The end never goes back: who was sent first knew the lowest.
        return next(iter(self._in_flight.values()), self._end)
