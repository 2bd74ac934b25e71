"""Was this id asked before?"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple


class Asked(NamedTuple):
    """Where an id was asked first. Times in Unix milliseconds."""

    offset: int
    timestamp: int
    """Of the record."""
    at: int
    """The same, but never in the future: one bad clock must not end the window for all."""


class Duplicates:
    """The ids of one partition, for as long as the window is.

    Args:
        window_ms: between the timestamps of two records with one id; 0: nothing is a duplicate.
        before: what was asked before this assignment, oldest first.
    """

    def __init__(self, window_ms: int, before: Iterable[tuple[str, Asked]] = ()) -> None:
        self._window_ms = window_ms
        self._asked: OrderedDict[str, Asked] = OrderedDict()
        self._newest = 0
        self._repeats: dict[int, Asked] = {}
        """Duplicates that are not done."""
        for question_id, asked in before:
            self.first(question_id, asked)

    def __len__(self) -> int:
        return len(self._asked)

    def first(self, question_id: str, asked: Asked) -> Asked | None:
        """Whom this one repeats; else it is the first from now on.

        A record is no duplicate of itself, nor of one behind it in the log, which was read
        before a restart.
        """
        if not self._window_ms:
            return None
        if asked.offset in self._repeats:
            # Read again, when the first may be forgotten.
            return self._repeats[asked.offset]
        self._newest = max(self._newest, asked.at)
        self._forget()
        before = self._asked.get(question_id)
        if before is not None and before.offset >= asked.offset:
            return None
        if before is not None and abs(asked.at - before.at) <= self._window_ms:
            self._repeats[asked.offset] = before
            return before
        self._asked[question_id] = asked
        self._asked.move_to_end(question_id)
        return None

    def done(self, offset: int) -> None:
        """It will not be read again."""
        self._repeats.pop(offset, None)

    def _forget(self) -> None:
        oldest = self._newest - self._window_ms
        while self._asked:
            question_id = next(iter(self._asked))
            if self._asked[question_id].at >= oldest:
                return
            del self._asked[question_id]
