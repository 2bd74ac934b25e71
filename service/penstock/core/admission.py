"""Who runs next? Bounded slots, fair between partitions, one at a time per lane."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable

from penstock.core.facts import RecordId

LaneId = tuple[int, Hashable]


class Admission:
    """A lane shuts when its head is taken and opens when that record is done.

    Partitions with an open lane take turns; within a partition lanes take turns; within a lane
    records go in order of arrival.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.in_flight = 0
        self._waiting: dict[LaneId, deque[RecordId]] = {}
        self._shut: Counter[LaneId] = Counter()
        """How many records each waits for; more than one where lanes were other ones before."""
        self._ready: OrderedDict[int, OrderedDict[LaneId, None]] = OrderedDict()

    def add(self, record: RecordId, lane: LaneId) -> None:
        if (waiting := self._waiting.get(lane)) is not None:
            waiting.append(record)
            return
        self._waiting[lane] = deque((record,))
        if lane not in self._shut:
            self._offer(lane)

    def take(self, ceiling: Callable[[int], int | None]) -> RecordId | None:
        """The next record to run: it takes a slot and shuts its lane.

        `ceiling` of a partition: an offset below which the record has to be, if any.
        """
        if self.in_flight >= self.slots:
            return None
        for partition, lanes in self._ready.items():
            if (lane := self._next(lanes, ceiling(partition))) is None:
                continue
            del lanes[lane]
            if lanes:
                self._ready.move_to_end(partition)
            else:
                del self._ready[partition]
            waiting = self._waiting[lane]
            record = waiting.popleft()
            if not waiting:
                del self._waiting[lane]
            self._shut[lane] += 1
            self.in_flight += 1
            return record
        return None

    def free_slot(self) -> None:
        self.in_flight -= 1

    def shut(self, lane: LaneId) -> None:
        """For a record that runs elsewhere: it takes no slot here."""
        self._shut[lane] += 1
        self._withdraw(lane)

    def open(self, lane: LaneId) -> None:
        self._shut[lane] -= 1
        if not self._shut[lane]:
            del self._shut[lane]
            if lane in self._waiting:
                self._offer(lane)

    def add_first(self, record: RecordId, lane: LaneId) -> None:
        """Before all others of the lane, which is shut for it: opened, it may run."""
        self._waiting.setdefault(lane, deque()).appendleft(record)

    def drop(self, record: RecordId, lane: LaneId) -> None:
        """A waiting record will not run."""
        waiting = self._waiting[lane]
        waiting.remove(record)
        if not waiting:
            del self._waiting[lane]
            self._withdraw(lane)

    def _offer(self, lane: LaneId) -> None:
        self._ready.setdefault(lane[0], OrderedDict())[lane] = None

    def _withdraw(self, lane: LaneId) -> None:
        if (lanes := self._ready.get(lane[0])) is not None:
            lanes.pop(lane, None)
            if not lanes:
                del self._ready[lane[0]]

    def _next(self, lanes: Iterable[LaneId], ceiling: int | None) -> LaneId | None:
        if ceiling is None:
            return next(iter(lanes), None)
        return next((lane for lane in lanes if self._waiting[lane][0].offset < ceiling), None)
