"""Who runs next? Bounded slots, fair between partitions, one at a time per lane."""

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable
from typing import NamedTuple

from penstock.core.facts import RecordId

LaneId = tuple[int, Hashable]


class Turn(NamedTuple):
    """Records that may start, or are passed over, together."""

    partition: int
    program: str
    model: str
    """That the program asks."""


May = Callable[[Turn], bool]


class Admission:
    """A lane shuts when its head is taken and opens when that record is done.

    What runs again goes first. Partitions with an open lane take turns, and so do the programs of
    one; then the lanes do; within a lane records go in order of arrival.
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self.in_flight = 0
        self._waiting: dict[LaneId, deque[tuple[RecordId, Turn]]] = {}
        self._shut: Counter[LaneId] = Counter()
        """How many records each waits for; more than one where lanes were other ones before."""
        self._ready: OrderedDict[Turn, OrderedDict[LaneId, None]] = OrderedDict()
        self._again: OrderedDict[Turn, OrderedDict[RecordId, None]] = OrderedDict()
        """Their lanes are shut as ever."""

    @property
    def has_room(self) -> bool:
        return self.in_flight < self.slots

    def add(self, record: RecordId, lane: LaneId, turn: Turn) -> None:
        if (waiting := self._waiting.get(lane)) is not None:
            waiting.append((record, turn))
            return
        self._waiting[lane] = deque(((record, turn),))
        if lane not in self._shut:
            self._offer(lane)

    def again(self, record: RecordId, turn: Turn) -> None:
        """It has run before, and nothing of its lane has since."""
        self._again.setdefault(turn, OrderedDict())[record] = None

    def withdraw(self, record: RecordId, turn: Turn) -> None:
        """It does not run again, if it was to."""
        if (again := self._again.get(turn)) is not None:
            again.pop(record, None)
            if not again:
                del self._again[turn]

    def take_again(self, may: May, goes_on: Callable[[RecordId], bool]) -> RecordId | None:
        """The next of those that have run before: it takes a slot."""
        if not self.has_room:
            return None
        for turn, again in self._again.items():
            if not may(turn):
                continue
            if (record := next(filter(goes_on, again), None)) is None:
                continue
            self._again.move_to_end(turn)
            self.withdraw(record, turn)
            self.in_flight += 1
            return record
        return None

    def take(self, may: May, ceiling: Callable[[int], int | None]) -> RecordId | None:
        """The next record whose turn it may be: it takes a slot and shuts its lane.

        `ceiling` of a partition: an offset below which the record has to be, if any.
        """
        if not self.has_room:
            return None
        for turn, lanes in self._ready.items():
            if not may(turn):
                continue
            if (lane := self._next(lanes, ceiling(turn.partition))) is None:
                continue
            del lanes[lane]
            if lanes:
                self._ready.move_to_end(turn)
            else:
                del self._ready[turn]
            waiting = self._waiting[lane]
            record, _ = waiting.popleft()
            if not waiting:
                del self._waiting[lane]
            self._shut[lane] += 1
            self.in_flight += 1
            return record
        return None

    def has_fresh(self, may: May) -> bool:
        """Whether there is one that has not run yet."""
        return any(map(may, self._ready))

    def free_slot(self) -> None:
        self.in_flight -= 1

    def shut(self, lane: LaneId) -> None:
        """For a record that runs elsewhere: it takes no slot here."""
        self._shut[lane] += 1
        self._take_back(lane)

    def open(self, lane: LaneId) -> None:
        self._shut[lane] -= 1
        if not self._shut[lane]:
            del self._shut[lane]
            if lane in self._waiting:
                self._offer(lane)

    def add_first(self, record: RecordId, lane: LaneId, turn: Turn) -> None:
        """Before all others of the lane, which is shut for it: opened, it may run."""
        self._waiting.setdefault(lane, deque()).appendleft((record, turn))

    def drop(self, record: RecordId, lane: LaneId, turn: Turn) -> None:
        """A waiting record will not run."""
        waiting = self._waiting[lane]
        was_first = waiting[0] == (record, turn)
        if was_first:
            self._take_back(lane)
        waiting.remove((record, turn))
        if not waiting:
            del self._waiting[lane]
        elif was_first and lane not in self._shut:
            # The next one may be another program's.
            self._offer(lane)

    def _turn(self, lane: LaneId) -> Turn:
        return self._waiting[lane][0][1]

    def _offer(self, lane: LaneId) -> None:
        self._ready.setdefault(self._turn(lane), OrderedDict())[lane] = None

    def _take_back(self, lane: LaneId) -> None:
        if lane not in self._waiting:
            return
        turn = self._turn(lane)
        if (lanes := self._ready.get(turn)) is not None:
            lanes.pop(lane, None)
            if not lanes:
                del self._ready[turn]

    def _next(self, lanes: Iterable[LaneId], ceiling: int | None) -> LaneId | None:
        if ceiling is None:
            return next(iter(lanes), None)
        return next((lane for lane in lanes if self._waiting[lane][0][0].offset < ceiling), None)
