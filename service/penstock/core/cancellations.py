"""Which questions does nobody want answered any more?"""

from collections import OrderedDict
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Cancellation:
    at: int
    until: float


class Cancellations:
    """By id: of what was asked before, however long it lies in its topic, and for a while of what
    is asked later, for a cancellation may overtake its question.
    """

    MOST = 100_000

    def __init__(self) -> None:
        self._latest: OrderedDict[str, _Cancellation] = OrderedDict()

    def __len__(self) -> int:
        return len(self._latest)

    def add(self, question_id: str, at: int, until: float) -> None:
        """`at` in Unix milliseconds, `until` in monotonic seconds. Said again, it may hold for
        longer; of too many the oldest is forgotten.
        """
        before = self._latest.pop(question_id, _Cancellation(at, until))
        self._latest[question_id] = _Cancellation(max(at, before.at), max(until, before.until))
        if len(self._latest) > self.MOST:
            self._latest.popitem(last=False)

    def hold(self, question_id: str, asked_at: int, now: float) -> bool:
        """`asked_at` in Unix milliseconds, by the record of the question."""
        found = self._latest.get(question_id)
        return found is not None and (asked_at <= found.at or now < found.until)
