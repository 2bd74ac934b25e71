"""Who has run out of time, waiting or running?"""

import heapq
from collections.abc import Iterable

from penstock.core.facts import RecordId


def earliest(times: Iterable[float | None]) -> float | None:
    """Of those that there are; several times for every event, so without ado."""
    first = None
    for at in times:
        if at is not None and (first is None or at < first):
            first = at
    return first


class Deadlines:
    """One moment per record. A moment that was moved or disarmed stays in the heap as a leftover;
    the heap is rebuilt when leftovers outnumber the rest.
    """

    def __init__(self) -> None:
        self._due: dict[RecordId, float] = {}
        self._heap: list[tuple[float, RecordId]] = []

    def arm(self, record: RecordId, when: float) -> None:
        self._due[record] = when
        heapq.heappush(self._heap, (when, record))

    def disarm(self, record: RecordId) -> None:
        self._due.pop(record, None)
        if len(self._heap) > 2 * len(self._due) + 64:
            self._heap = [(when, record) for record, when in self._due.items()]
            heapq.heapify(self._heap)

    def expired(self, now: float) -> list[RecordId]:
        """Records whose time is up; each is named once."""
        up: list[RecordId] = []
        if not self._due:
            return up
        while (when := self.next_at()) is not None and when <= now:
            record = heapq.heappop(self._heap)[1]
            del self._due[record]
            up.append(record)
        return up

    def next_at(self) -> float | None:
        heap = self._heap
        while heap and self._due.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None
