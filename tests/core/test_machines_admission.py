"""Admission beside one list."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.core.admission import Admission, LaneId
from penstock.core.facts import RecordId

SLOTS = 4
PARTITIONS = range(3)
KEYS = "abc"
MODEL = "default"

Partitions = st.sampled_from(PARTITIONS)
Keys = st.sampled_from(KEYS)
Ceilings = st.dictionaries(Partitions, st.integers(0, 30), max_size=2)


class AdmissionBesideOneList(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission(SLOTS)
        self.waiting: list[tuple[RecordId, LaneId]] = []
        self.in_flight = 0
        self.shut: list[LaneId] = []
        self.offset = 0
        self.passed_over = Counter[int | LaneId]()
        """Partitions by takes of others, lanes by takes of others of their partition."""

    def next_of_lanes(self) -> dict[LaneId, RecordId]:
        """Of every open lane its first."""
        heads: dict[LaneId, RecordId] = {}
        for record, lane in self.waiting:
            if lane not in self.shut:
                heads.setdefault(lane, record)
        return heads

    @rule(partition=Partitions, key=Keys)
    def adds(self, partition: int, key: str) -> None:
        record, lane = RecordId(partition, 1, self.offset), (partition, key)
        self.offset += 1
        self.waiting.append((record, lane))
        self.admission.add(record, lane, MODEL)

    @rule(ceilings=st.one_of(st.just({}), Ceilings))
    def takes(self, ceilings: dict[int, int]) -> None:
        possible = {
            lane: record
            for lane, record in self.next_of_lanes().items()
            if record.offset < ceilings.get(record.partition, self.offset)
            and self.in_flight < SLOTS
        }
        taken = self.admission.take([MODEL], ceilings.get)
        if taken is None:
            assert not possible
            return
        assert taken in possible.values()
        lane = dict(self.waiting)[taken]
        self.waiting.remove((taken, lane))
        self.shut.append(lane)
        self.in_flight += 1
        self.take_turns(lane, possible)

    def take_turns(self, taken: LaneId, possible: dict[LaneId, RecordId]) -> None:
        partition, _ = taken
        self.passed_over.update({other for other, _ in possible} - {partition})
        self.passed_over.update(lane for lane in possible if lane[0] == partition and lane != taken)
        self.passed_over[partition] = self.passed_over[taken] = 0
        for one, times in self.passed_over.items():
            assert times < (len(PARTITIONS) if isinstance(one, int) else len(KEYS)), one

    @precondition(lambda self: self.in_flight)
    @rule()
    def frees_a_slot(self) -> None:
        self.in_flight -= 1
        self.admission.free_slot()

    @precondition(lambda self: self.shut)
    @rule(which=st.integers(0, 20))
    def opens(self, which: int) -> None:
        self.admission.open(lane := self.shut[which % len(self.shut)])
        self.shut.remove(lane)

    @rule(partition=Partitions, key=Keys)
    def shuts(self, partition: int, key: str) -> None:
        """For what runs elsewhere; one lane may be shut for several."""
        self.shut.append(lane := (partition, key))
        self.admission.shut(lane)

    @precondition(lambda self: self.shut)
    @rule(which=st.integers(0, 20))
    def adds_first(self, which: int) -> None:
        """What ran elsewhere."""
        lane = self.shut[which % len(self.shut)]
        record = RecordId(lane[0], 1, self.offset)
        self.offset += 1
        self.waiting.insert(0, (record, lane))
        self.admission.add_first(record, lane, MODEL)

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 50))
    def drops(self, which: int) -> None:
        record, lane = self.waiting.pop(which % len(self.waiting))
        self.admission.drop(record, lane, MODEL)

    @invariant()
    def slots_are_bounded(self) -> None:
        assert self.admission.in_flight == self.in_flight <= SLOTS

    @invariant()
    def who_leaves_the_queue_goes_to_its_end(self) -> None:
        """Only who waits all the time is passed over."""
        queueing = self.next_of_lanes().keys()
        partitions = {partition for partition, _ in queueing}
        for one in list(self.passed_over):
            if one not in (partitions if isinstance(one, int) else queueing):
                del self.passed_over[one]


TestAdmission = AdmissionBesideOneList.TestCase
TestAdmission.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
