"""Which questions does nobody want answered any more?"""

from collections import OrderedDict


class Cancellations:
    """By id, each for as long as a question of that id may still turn up."""

    def __init__(self) -> None:
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._until)

    def add(self, question_id: str, until: float, now: float) -> None:
        """Monotonic seconds. Asked for again, it counts for longer."""
        self._until[question_id] = max(until, self._until.get(question_id, until))
        self._until.move_to_end(question_id)
        # Nearly in order: all are kept for the same time.
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)

    def hold(self, question_id: str, now: float) -> bool:
        until = self._until.get(question_id)
        return until is not None and now < until
