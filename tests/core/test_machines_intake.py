"""Intake beside plain counting."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.core.intake import Intake

HIGH, LOW = 4, 2
PARTITIONS = range(3)

Partitions = st.sampled_from(PARTITIONS)


class IntakeBesideCounting(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.intake = Intake(HIGH, LOW)
        self.held = Counter[int]()
        self.paused = set(PARTITIONS)
        for partition in PARTITIONS:
            self.intake.arrived(partition)

    @rule(partition=Partitions, times=st.integers(1, 3))
    def grows(self, partition: int, times: int) -> None:
        for _ in range(times):
            self.held[partition] += 1
            self.intake.grew(partition)

    @precondition(lambda self: any(self.held.values()))
    @rule(which=st.integers(0, 20), times=st.integers(1, 3))
    def shrinks(self, which: int, times: int) -> None:
        holding = sorted(partition for partition, held in self.held.items() if held)
        partition = holding[which % len(holding)]
        for _ in range(min(times, self.held[partition])):
            self.held[partition] -= 1
            self.intake.shrank(partition)

    @rule(partition=Partitions)
    def forgets(self, partition: int) -> None:
        """And it comes back."""
        self.held[partition] = 0
        self.paused.add(partition)
        self.intake.forget(partition)
        self.intake.arrived(partition)

    @rule(closed=st.booleans(), halted=st.frozensets(Partitions))
    def changes(self, closed: bool, halted: frozenset[int]) -> None:
        pause, resume = self.intake.changes(closed=closed, halted=halted)
        assert not pause & resume
        assert not pause & self.paused
        assert resume <= self.paused
        self.paused = (self.paused | pause) - resume
        for partition in PARTITIONS:
            if closed or partition in halted or self.held[partition] >= HIGH:
                assert partition in self.paused
            elif self.held[partition] <= LOW:
                assert partition not in self.paused
            else:
                # Between the marks everything stays as it is.
                assert partition not in pause | resume
        again = self.intake.changes(closed=closed, halted=halted)
        assert again == (frozenset(), frozenset())

    @invariant()
    def it_knows_who_is_paused(self) -> None:
        assert self.intake.paused == self.paused


TestIntake = IntakeBesideCounting.TestCase
TestIntake.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
