"""Small faults of the core, one function each, named by what it then does wrong."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from penstock.core import facts
from penstock.core.admission import Admission
from penstock.core.arrival import Arrival
from penstock.core.bookmark import Bookmark, KnownEnd
from penstock.core.cadence import Cadence, CadencePolicy
from penstock.core.claims import Claims
from penstock.core.deadline import Deadlines
from penstock.core.duplicates import Asked, Duplicates
from penstock.core.facts import Head, RecordId
from penstock.core.handover import Run
from penstock.core.intake import Intake
from penstock.core.ledger import Ledger
from penstock.core.offset_map import DoneBeyond, encode
from penstock.core.partition import Limits, Partition
from penstock.core.publishing import Publishing
from penstock.core.question import Question
from penstock.core.release import Release
from penstock.core.work import Work

Patch = pytest.MonkeyPatch
Mutation = Callable[[Patch], None]


# --- what is done -----------------------------------------------------------------------------


def commits_to_the_end_of_what_was_fetched(patch: Patch) -> None:
    patch.setattr(Ledger, "committable", lambda ledger: ledger._end)


def commits_to_the_latest_outstanding_offset(patch: Patch) -> None:
    def committable(ledger: Ledger) -> int:
        return next(reversed(ledger._outstanding), ledger._end)

    patch.setattr(Ledger, "committable", committable)


def tracks_again_what_is_done(patch: Patch) -> None:
    def track(ledger: Ledger, offset: int, now: float) -> bool:
        if offset in ledger:
            return False
        ledger._outstanding[offset] = now
        ledger._end = max(ledger._end, offset + 1)
        return True

    patch.setattr(Ledger, "track", track)


def resolves_what_it_drops(patch: Patch) -> None:
    forget = Work.forget

    def drop(work: Work, record: RecordId, question: Question) -> None:
        forget(work, record, question)
        if record.partition in work._board.partitions:
            work._board.partitions[record.partition].ledger.resolve(record.offset)

    patch.setattr(Work, "forget", drop)


def resolves_before_the_acknowledgement(patch: Patch) -> None:
    conclude = Publishing.conclude

    def resolve_and_conclude(
        publishing: Publishing, record: RecordId, question: Question, conclusion: facts.Conclusion
    ) -> None:
        conclude(publishing, record, question, conclusion)
        if record.partition in publishing._board.partitions:
            publishing._board.partitions[record.partition].ledger.resolve(record.offset)

    patch.setattr(Ledger, "resolve", lambda ledger, offset: ledger._outstanding.pop(offset, None))
    patch.setattr(Publishing, "conclude", resolve_and_conclude)


def says_one_offset_too_many(patch: Patch) -> None:
    done_beyond = Ledger.done_beyond

    def one_too_many(ledger: Ledger) -> DoneBeyond:
        done = done_beyond(ledger)
        return DoneBeyond(done.committed, tuple((start, end + 1) for start, end in done.ranges))

    patch.setattr(Ledger, "done_beyond", one_too_many)


def commits_an_empty_ledger(patch: Patch) -> None:
    """Of a partition that goes before anything of it was said."""
    release = Release._release

    def release_all(leaver: Release, leaving: frozenset[int], now: float) -> None:
        board = leaver._board
        late = {n for n, partition in board.partitions.items() if not partition.open}
        release(leaver, leaving, now)
        command = board._commands[-1]
        assert isinstance(command, facts.Release)
        empty = dict.fromkeys(command.partitions & late, Head(0, "", Bookmark(0, 1)))
        board._commands[-1] = replace(command, heads={**command.heads, **empty})

    patch.setattr(Release, "_release", release_all)


# --- where the next owner looks ---------------------------------------------------------------


def forgets_what_is_on_its_way(patch: Patch) -> None:
    patch.setattr(KnownEnd, "sent", lambda *_: None)


def guesses_a_position_that_nobody_told(patch: Patch) -> None:
    acknowledged = KnownEnd.acknowledged

    def guess(end: KnownEnd, offset: int, position: int | None) -> None:
        acknowledged(end, offset, end._end + 2 if position is None else position)

    patch.setattr(KnownEnd, "acknowledged", guess)


def does_not_wait_for_what_was_claimed(patch: Patch) -> None:
    patch.setattr(Ledger, "claimed", property(lambda _: False))


def forgets_what_the_commit_before_said(patch: Patch) -> None:
    init = Ledger.__init__

    def without_map(ledger: Ledger, recovered: DoneBeyond, claims: Claims) -> None:
        init(ledger, DoneBeyond(recovered.committed), claims)

    patch.setattr(Ledger, "__init__", without_map)


def believes_a_claim_about_another_record(patch: Patch) -> None:
    def hold(claims: Claims, offset: int, _: int) -> bool:
        at = offset - claims._start
        return 0 <= at < len(claims._timestamps) and claims._timestamps[at] >= 0

    patch.setattr(Claims, "hold", hold)


def ignores_claims(patch: Patch) -> None:
    patch.setattr(Claims, "hold", lambda *_: False)


def cuts_off_a_map_that_does_not_fit(patch: Patch) -> None:
    def head(partition: Partition, now: float, runs: Iterable[Run] = ()) -> Head:
        done = partition.ledger.done_beyond()
        while len(encode(done)) > partition._limits.map_letters:
            done = DoneBeyond(done.committed, done.ranges[:-1])
        end = Bookmark(partition.completions.position(), partition._partitions)
        claimed = partition.ledger.claimed
        return Head(done.committed, encode(done), partition._found if claimed else end)

    patch.setattr(Partition, "head", head)


def moves_the_bookmark_of_a_map_that_does_not_fit(patch: Patch) -> None:
    head = Partition.head

    def with_the_bookmark_of_now(
        partition: Partition, now: float, runs: Iterable[Run] = ()
    ) -> Head:
        said = head(partition, now, runs)
        if partition.ledger.claimed:
            return said
        end = Bookmark(partition.completions.position(), partition._partitions)
        return said._replace(bookmark=end)

    patch.setattr(Partition, "head", with_the_bookmark_of_now)


def commits_a_map_that_does_not_fit(patch: Patch) -> None:
    init = Partition.__init__

    def without_limit(
        partition: Partition, epoch: int, recovered: facts.Recovered, limits: Limits, *more: Any
    ) -> None:
        init(partition, epoch, recovered, limits._replace(map_letters=10**6), *more)

    patch.setattr(Partition, "__init__", without_limit)


def begins_before_the_opening_commit(patch: Patch) -> None:
    assigned = Arrival.assigned

    def assigned_and_resumed(arrival: Arrival, event: facts.Assigned, now: float) -> None:
        assigned(arrival, event, now)
        arrival._board.say(facts.Resume(frozenset(event.epochs)))

    patch.setattr(Arrival, "assigned", assigned_and_resumed)


# --- what was cut off, and what was asked before ------------------------------------------------


def calls_clean_what_it_cut_off(patch: Patch) -> None:
    patch.setattr(Partition, "cut_off", lambda partition, offset: partition.begun.pop(offset, None))


def calls_clean_what_ended_without_a_run(patch: Patch) -> None:
    conclude = Publishing.conclude

    def conclude_alike(
        publishing: Publishing, record: RecordId, question: Question, conclusion: facts.Conclusion
    ) -> None:
        conclude(publishing, record, question, conclusion)
        if not question.attempt and record.partition in publishing._board.partitions:
            publishing._board.partitions[record.partition].begun.pop(record.offset, None)

    patch.setattr(Publishing, "conclude", conclude_alike)


def calls_clean_what_others_cut_off(patch: Patch) -> None:
    init = Partition.__init__

    def without_others(
        partition: Partition, epoch: int, recovered: facts.Recovered, *more: Any
    ) -> None:
        init(partition, epoch, replace(recovered, unclean_below=0), *more)

    patch.setattr(Partition, "__init__", without_others)


def calls_every_last_commit_clean(patch: Patch) -> None:
    last_head = Partition.last_head

    def clean(partition: Partition, now: float, runs: Sequence[Run]) -> Head:
        return last_head(partition, now, runs)._replace(clean=True)

    patch.setattr(Partition, "last_head", clean)


def never_asks_for_duplicates(patch: Patch) -> None:
    patch.setattr(Duplicates, "first", lambda *_: None)


def forgets_too_early_who_asked(patch: Patch) -> None:
    forget = Duplicates._forget

    def half_the_window(duplicates: Duplicates) -> None:
        newest = duplicates._newest
        duplicates._newest += duplicates._window_ms // 2
        forget(duplicates)
        duplicates._newest = newest

    patch.setattr(Duplicates, "_forget", half_the_window)


def forgets_who_asked_before_the_assignment(patch: Patch) -> None:
    init = Duplicates.__init__
    patch.setattr(Duplicates, "__init__", lambda one, window_ms, _=(): init(one, window_ms))


def forgets_which_records_are_duplicates(patch: Patch) -> None:
    first = Duplicates.first

    def anew(duplicates: Duplicates, question_id: str, asked: Asked) -> Asked | None:
        duplicates._repeats.clear()
        return first(duplicates, question_id, asked)

    patch.setattr(Duplicates, "first", anew)


# --- publishing -------------------------------------------------------------------------------


def publishes_a_refused_completion_twice(patch: Patch) -> None:
    expire = Work.expire

    def expire_with_an_echo(work: Work, now: float) -> None:
        commands = work._board._commands
        before = len(commands)
        refused = set(work._publishing.due._due)
        expire(work, now)
        commands += [one for one in commands[before:] if getattr(one, "record", None) in refused]

    patch.setattr(Work, "expire", expire_with_an_echo)


def never_publishes_again_what_was_refused(patch: Patch) -> None:
    patch.setattr(Publishing, "refused", lambda *_: None)


# --- who runs, and when ------------------------------------------------------------------------


class _Open(Counter[Any]):
    """No lane is ever shut."""

    def __setitem__(self, lane: Any, count: int) -> None:
        pass


def never_shuts_a_lane(patch: Patch) -> None:
    init = Admission.__init__

    def without_locks(admission: Admission, slots: int) -> None:
        init(admission, slots)
        admission._shut = _Open()

    patch.setattr(Admission, "__init__", without_locks)


def opens_the_lane_before_the_acknowledgement(patch: Patch) -> None:
    ended = Work.ended

    def ended_and_open(work: Work, record: RecordId) -> Question | None:
        if (question := ended(work, record)) is not None:
            work._admission.open(question.lane)
            # Else it would be opened again by the acknowledgement.
            question.attempt = 0
        return question

    patch.setattr(Work, "ended", ended_and_open)


def has_one_slot_too_many(patch: Patch) -> None:
    init = Admission.__init__
    patch.setattr(Admission, "__init__", lambda admission, slots: init(admission, slots + 1))


def frees_the_slot_at_the_cancellation(patch: Patch) -> None:
    cancel = Work.cancel

    def cancel_and_free(work: Work, record: RecordId, question: Question, now: float) -> None:
        cancel(work, record, question, now)
        work._admission.free_slot()

    patch.setattr(Work, "cancel", cancel_and_free)


def never_pauses(patch: Patch) -> None:
    changes = Intake.changes
    nothing: frozenset[int] = frozenset()
    patch.setattr(Intake, "changes", lambda one, **now: (nothing, changes(one, **now)[1]))


def never_resumes(patch: Patch) -> None:
    changes = Intake.changes
    nothing: frozenset[int] = frozenset()

    def never(intake: Intake, **now: Any) -> tuple[frozenset[int], frozenset[int]]:
        paused, resumed = changes(intake, **now)
        # But once, when they arrive.
        return paused, resumed if not +intake._held else nothing

    patch.setattr(Intake, "changes", never)


def is_late_for_every_deadline(patch: Patch) -> None:
    arm = Deadlines.arm
    patch.setattr(Deadlines, "arm", lambda due, record, when: arm(due, record, when + 600))


def forgets_the_backoff_when_it_says_when_to_wake(patch: Patch) -> None:
    def next_at(cadence: Cadence) -> float | None:
        if cadence.in_flight:
            return None
        return min(cadence._repeat_at, cadence._since or cadence._repeat_at)

    patch.setattr(Cadence, "next_at", next_at)


def never_commits_again_after_a_failure(patch: Patch) -> None:
    patch.setattr(Cadence, "failed", lambda *_: None)


def never_commits_what_has_not_changed(patch: Patch) -> None:
    init = Cadence.__init__

    def without_repeats(cadence: Cadence, policy: CadencePolicy) -> None:
        init(cadence, replace(policy, at_least=10**9))

    patch.setattr(Cadence, "__init__", without_repeats)


def commits_beside_a_commit_in_flight(patch: Patch) -> None:
    sent = Cadence.sent

    def unnoticed(cadence: Cadence, now: float, *, in_flight: bool) -> None:
        sent(cadence, now, in_flight=in_flight and cadence.in_flight)

    patch.setattr(Cadence, "sent", unnoticed)
