"""Admission beside one list."""

from collections import Counter
from itertools import chain

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.core.admission import Admission, LaneId, Turn
from penstock.core.facts import RecordId

SLOTS = 4
PARTITIONS = range(3)
KEYS = "abc"
PROGRAMS = ("qa", "short")

Partitions = st.sampled_from(PARTITIONS)
Keys = st.sampled_from(KEYS)
Wanted = st.sampled_from(PROGRAMS)
Called = st.one_of(st.just(set(PROGRAMS)), st.sets(Wanted))
Ceilings = st.dictionaries(Partitions, st.integers(0, 30), max_size=2)
Which = st.integers(0, 50)


def turn_of(record: RecordId, program: str) -> Turn:
    return Turn(record.partition, program, f"of {program}")


class AdmissionBesideOneList(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission(SLOTS)
        self.waiting: list[tuple[RecordId, LaneId, str]] = []
        self.running: list[tuple[RecordId, str]] = []
        self.failed: list[tuple[RecordId, str]] = []
        """Have run, and may run again."""
        self.again: list[tuple[RecordId, str]] = []
        self.shut: list[LaneId] = []
        self.offset = 0
        self.passed_over = Counter[tuple[Turn | LaneId, Turn | LaneId]]()
        """Who was, and by whom: turns by other turns, lanes by others of their turn."""

    def next_of_lanes(self) -> dict[LaneId, tuple[RecordId, str]]:
        """Of every open lane its first, and the program it wants."""
        heads: dict[LaneId, tuple[RecordId, str]] = {}
        for record, lane, program in self.waiting:
            if lane not in self.shut:
                heads.setdefault(lane, (record, program))
        return heads

    # --- who has not run yet ------------------------------------------------------------------

    @rule(batch=st.lists(st.tuples(Partitions, Keys, Wanted), min_size=1, max_size=6))
    def adds(self, batch: list[tuple[int, str, str]]) -> None:
        for partition, key, program in batch:
            record, lane = RecordId(partition, 1, self.offset), (partition, key)
            self.offset += 1
            self.waiting.append((record, lane, program))
            self.admission.add(record, lane, turn_of(record, program))

    @rule(called=Called, ceilings=st.one_of(st.just({}), Ceilings))
    def takes(self, called: set[str], ceilings: dict[int, int]) -> None:
        possible = {
            lane: (record, program)
            for lane, (record, program) in self.next_of_lanes().items()
            if program in called
            and record.offset < ceilings.get(record.partition, self.offset)
            and len(self.running) < SLOTS
        }
        taken = self.admission.take(lambda turn: turn.program in called, ceilings.get)
        if taken is None:
            assert not possible
            return
        lane = next(lane for lane, (record, _) in possible.items() if record == taken)
        _, program = possible[lane]
        self.waiting.remove((taken, lane, program))
        self.shut.append(lane)
        self.running.append((taken, program))
        self.take_turns(lane, possible)

    def take_turns(self, taken: LaneId, possible: dict[LaneId, tuple[RecordId, str]]) -> None:
        """Who was passed over by somebody is not again before it has had its own turn."""
        turns = {lane: turn_of(record, wanted) for lane, (record, wanted) in possible.items()}
        turn = turns[taken]
        self.forget(turn, taken)
        self.passed_over.update((other, turn) for other in set(turns.values()) - {turn})
        self.passed_over.update(
            (lane, taken) for lane, other in turns.items() if other == turn and lane != taken
        )
        assert all(times == 1 for times in self.passed_over.values()), self.passed_over

    def forget(self, *those: Turn | LaneId) -> None:
        for one in [one for one in self.passed_over if one[0] in those]:
            del self.passed_over[one]

    @precondition(lambda self: self.waiting)
    @rule(which=Which)
    def drops(self, which: int) -> None:
        record, lane, program = self.waiting.pop(which % len(self.waiting))
        # The next of its lane goes to the end of the queue.
        self.forget(lane, turn_of(record, program))
        self.admission.drop(record, lane, turn_of(record, program))

    # --- who has ------------------------------------------------------------------------------

    @precondition(lambda self: self.running)
    @rule(which=Which)
    def ends(self, which: int) -> None:
        self.failed.append(self.running.pop(which % len(self.running)))
        self.admission.free_slot()

    @precondition(lambda self: self.failed)
    @rule(which=Which)
    def is_to_run_again(self, which: int) -> None:
        record, program = self.failed.pop(which % len(self.failed))
        self.again.append((record, program))
        self.admission.again(record, turn_of(record, program))

    @rule(called=Called, not_now=st.sets(Partitions, max_size=2))
    def takes_again(self, called: set[str], not_now: set[int]) -> None:
        """Of every turn in order, of those that may."""
        possible: dict[Turn, tuple[RecordId, str]] = {}
        for record, program in self.again:
            if program in called and record.partition not in not_now and len(self.running) < SLOTS:
                possible.setdefault(turn_of(record, program), (record, program))
        taken = self.admission.take_again(
            lambda turn: turn.program in called, lambda record: record.partition not in not_now
        )
        assert taken in {record for record, _ in possible.values()} or not (taken or possible)
        for one in possible.values():
            if one[0] == taken:
                self.again.remove(one)
                self.running.append(one)

    @precondition(lambda self: self.again or self.failed)
    @rule(which=Which)
    def withdraws(self, which: int) -> None:
        """Whether it was to run again or not."""
        known = self.again + self.failed
        record, program = known[which % len(known)]
        self.again = [one for one in self.again if one[0] != record]
        self.admission.withdraw(record, turn_of(record, program))

    # --- lanes --------------------------------------------------------------------------------

    @precondition(lambda self: self.shut)
    @rule(which=Which)
    def opens(self, which: int) -> None:
        self.admission.open(lane := self.shut[which % len(self.shut)])
        self.shut.remove(lane)

    @rule(partition=Partitions, key=Keys)
    def shuts(self, partition: int, key: str) -> None:
        """For what runs elsewhere; one lane may be shut for several."""
        self.shut.append(lane := (partition, key))
        self.admission.shut(lane)

    @precondition(lambda self: self.shut)
    @rule(which=Which, program=Wanted)
    def adds_first(self, which: int, program: str) -> None:
        """What ran elsewhere."""
        lane = self.shut[which % len(self.shut)]
        record = RecordId(lane[0], 1, self.offset)
        self.offset += 1
        self.waiting.insert(0, (record, lane, program))
        self.admission.add_first(record, lane, turn_of(record, program))

    # --- what always holds --------------------------------------------------------------------

    @invariant()
    def slots_are_bounded(self) -> None:
        assert self.admission.in_flight == len(self.running) <= SLOTS

    @invariant()
    def who_leaves_the_queue_goes_to_its_end(self) -> None:
        """Only who waits all the time is passed over."""
        heads = self.next_of_lanes()
        turns = {turn_of(record, program) for record, program in heads.values()}
        waited = {one for one, _ in self.passed_over}
        self.forget(*(one for one in waited if one not in turns and one not in heads))

    @invariant()
    def nothing_is_kept_of_who_does_not_wait(self) -> None:
        admission = self.admission
        assert sum(map(len, admission._waiting.values())) == len(self.waiting)
        assert sum(map(len, admission._again.values())) == len(self.again)
        offered = list(chain.from_iterable(admission._ready.values()))
        assert sorted(offered) == sorted(self.next_of_lanes())


TestAdmission = AdmissionBesideOneList.TestCase
TestAdmission.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
