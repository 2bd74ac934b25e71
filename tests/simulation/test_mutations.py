"""Every guarantee can fail: a core with one small fault is caught by the guarantee it breaks.

Only the guarantee under test watches, so that none can hide behind another.
"""

from collections.abc import Callable
from typing import Any

import pytest

from penstock.core.admission import Admission
from penstock.core.cadence import Cadence
from penstock.core.deadline import Deadlines
from penstock.core.engine import Engine, Question
from penstock.core.facts import Command, RecordId
from penstock.core.intake import Intake
from penstock.core.ledger import Ledger
from tests.simulation import guarantees
from tests.simulation.world import World

SEEDS = range(40)

Patch = pytest.MonkeyPatch
Mutation = Callable[[Patch], None]


def commits_to_the_end_of_what_was_fetched(patch: Patch) -> None:
    patch.setattr(Ledger, "committable", lambda ledger: ledger._end)


def commits_to_the_latest_outstanding_offset(patch: Patch) -> None:
    def committable(ledger: Ledger) -> int | None:
        return next(reversed(ledger._outstanding), ledger._end)

    patch.setattr(Ledger, "committable", committable)


def tracks_again_what_is_done(patch: Patch) -> None:
    def track(ledger: Ledger, offset: int) -> bool:
        if offset in ledger:
            return False
        ledger._outstanding[offset] = None
        ledger._end = max(ledger._end or 0, offset + 1)
        return True

    patch.setattr(Ledger, "track", track)


def resolves_what_it_drops(patch: Patch) -> None:
    forget = Engine._forget

    def drop(engine: Engine, record: RecordId, question: Question) -> None:
        forget(engine, record, question)
        engine.ledgers[record.partition].resolve(record.offset)

    patch.setattr(Engine, "_forget", drop)


def resolves_before_the_acknowledgement(patch: Patch) -> None:
    conclude = Engine._conclude

    def resolve_and_conclude(
        engine: Engine, record: RecordId, question: Question, conclusion: Command
    ) -> None:
        conclude(engine, record, question, conclusion)
        engine.ledgers[record.partition].resolve(record.offset)

    patch.setattr(Ledger, "resolve", lambda ledger, offset: ledger._outstanding.pop(offset, None))
    patch.setattr(Engine, "_conclude", resolve_and_conclude)


def publishes_a_refused_completion_twice(patch: Patch) -> None:
    expire = Engine._expire

    def expire_with_an_echo(engine: Engine, now: float) -> None:
        before = len(engine._commands)
        refused = set(engine._republish._due)
        expire(engine, now)
        engine._commands += [
            command
            for command in engine._commands[before:]
            if getattr(command, "record", None) in refused
        ]

    patch.setattr(Engine, "_expire", expire_with_an_echo)


class _Open(set[Any]):
    """A set of shut lanes that stays empty."""

    def add(self, element: Any) -> None:
        pass

    def remove(self, element: Any) -> None:
        pass


def never_shuts_a_lane(patch: Patch) -> None:
    init = Admission.__init__

    def without_locks(admission: Admission, slots: int) -> None:
        init(admission, slots)
        admission._shut = _Open()

    patch.setattr(Admission, "__init__", without_locks)


def opens_the_lane_before_the_acknowledgement(patch: Patch) -> None:
    ended = Engine._ended

    def ended_and_open(engine: Engine, record: RecordId) -> Question | None:
        if (question := ended(engine, record)) is not None:
            engine.admission.open(question.lane)
            # Else it would be opened again by the acknowledgement.
            question.attempt = 0
        return question

    patch.setattr(Engine, "_ended", ended_and_open)


def has_one_slot_too_many(patch: Patch) -> None:
    init = Admission.__init__
    patch.setattr(Admission, "__init__", lambda admission, slots: init(admission, slots + 1))


def frees_the_slot_at_the_cancellation(patch: Patch) -> None:
    cancel = Engine._cancel

    def cancel_and_free(engine: Engine, record: RecordId, question: Question, now: float) -> None:
        cancel(engine, record, question, now)
        engine.admission.free_slot()

    patch.setattr(Engine, "_cancel", cancel_and_free)


def never_pauses(patch: Patch) -> None:
    patch.setattr(Intake, "changes", lambda _: (frozenset(), frozenset()))


def never_resumes(patch: Patch) -> None:
    changes = Intake.changes
    patch.setattr(Intake, "changes", lambda intake: (changes(intake)[0], frozenset()))


def is_late_for_every_deadline(patch: Patch) -> None:
    arm = Deadlines.arm
    patch.setattr(Deadlines, "arm", lambda due, record, when: arm(due, record, when + 600))


def forgets_the_backoff_when_it_says_when_to_wake(patch: Patch) -> None:
    def next_at(cadence: Cadence) -> float | None:
        if cadence.in_flight or cadence._since is None:
            return None
        return cadence._since + cadence._policy.interval

    patch.setattr(Cadence, "next_at", next_at)


def never_commits_again_after_a_failure(patch: Patch) -> None:
    patch.setattr(Cadence, "failed", lambda *_: None)


def never_publishes_again_what_was_refused(patch: Patch) -> None:
    patch.setattr(Engine, "_publish_failed", lambda *_: None)


CAUGHT: list[tuple[type[guarantees.Guarantee], Mutation]] = [
    (guarantees.NothingLost, resolves_what_it_drops),
    (guarantees.NothingLost, commits_to_the_end_of_what_was_fetched),
    (guarantees.OneCompletion, tracks_again_what_is_done),
    (guarantees.OneCompletion, publishes_a_refused_completion_twice),
    (guarantees.NothingCommittedEarly, resolves_before_the_acknowledgement),
    (guarantees.NothingCommittedEarly, commits_to_the_end_of_what_was_fetched),
    (guarantees.CommitsNeverGoBack, commits_to_the_latest_outstanding_offset),
    (guarantees.KeysInOrder, never_shuts_a_lane),
    (guarantees.KeysInOrder, opens_the_lane_before_the_acknowledgement),
    (guarantees.SlotsBounded, has_one_slot_too_many),
    (guarantees.SlotsBounded, frees_the_slot_at_the_cancellation),
    (guarantees.IntakeBounded, never_pauses),
    (guarantees.DeadlinesKept, is_late_for_every_deadline),
    (guarantees.LoopNeverSpins, forgets_the_backoff_when_it_says_when_to_wake),
    (guarantees.ProgressWhenCalm, never_commits_again_after_a_failure),
    (guarantees.ProgressWhenCalm, never_publishes_again_what_was_refused),
    (guarantees.ProgressWhenCalm, never_resumes),
]


@pytest.mark.parametrize(
    ("guarantee", "mutation"),
    CAUGHT,
    ids=lambda value: value.__name__,
)
def test_a_faulty_core_is_caught(
    guarantee: type[guarantees.Guarantee], mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    assert any(_breaks(guarantee, seed) for seed in SEEDS)


def test_every_guarantee_is_proved_able_to_fail() -> None:
    assert {guarantee for guarantee, _ in CAUGHT} == set(guarantees.GUARANTEES)


def _breaks(guarantee: type[guarantees.Guarantee], seed: int) -> bool:
    try:
        World(seed, [guarantee]).run()
    except AssertionError as error:
        return str(error).startswith(f"{guarantee.__name__}:")
    except (KeyError, RuntimeError):
        # The fault broke the engine itself before the guarantee could see it: the next seed.
        return False
    return False
