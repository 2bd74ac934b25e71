"""Small faults of the core where work is handed over, one function each, named by what it then
does wrong. The last ones are faults of what is around the core.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from penstock.core import facts, handover
from penstock.core.admission import Admission
from penstock.core.arrival import Arrival
from penstock.core.board import Board
from penstock.core.commits import Commits
from penstock.core.departures import Departures
from penstock.core.engine import Engine, Step
from penstock.core.facts import Head, RecordId, Recovered
from penstock.core.following import Following
from penstock.core.handover import Holds, Run
from penstock.core.lease import Lease
from penstock.core.partition import Partition
from penstock.core.question import Phase, Question
from penstock.core.release import Release
from penstock.core.starting import Starting
from penstock.core.work import Work
from penstock.kafka import metadata
from tests.simulation import sink
from tests.simulation.sink import Channel, Saying, Sink

Patch = pytest.MonkeyPatch

# --- what a commit says still runs --------------------------------------------------------------


def does_not_name_what_goes_on(patch: Patch) -> None:
    release = Release._release

    def without_names(leaver: Release, leaving: frozenset[int], now: float) -> None:
        release(leaver, leaving, now)
        board = leaver._board
        last = board._commands[-1]
        assert isinstance(last, facts.Release)
        heads = {number: _without(board.writer, head) for number, head in last.heads.items()}
        board._commands[-1] = replace(last, heads=heads)

    patch.setattr(Release, "_release", without_names)


def _without(runner: str, head: Head) -> Head:
    return head._replace(runs=tuple(run for run in head.runs if run.runner != runner))


def hands_nothing_over(patch: Patch) -> None:
    patch.setattr(Board, "runs", lambda *_: [])


def hands_over_only_what_its_programs_run(patch: Patch) -> None:
    runs = Board.runs

    def running(board: Board, records: Iterable[RecordId]) -> list[Run]:
        on = (one for one in records if board.questions[one].phase is not Phase.PUBLISHING)
        return runs(board, on)

    patch.setattr(Board, "runs", running)


def forgets_what_others_run(patch: Patch) -> None:
    patch.setattr(Holds, "entries", lambda _: ())


def opens_without_its_own_runs_of_before(patch: Patch) -> None:
    def head(_: Commits, partition: Partition, now: float) -> Head:
        return partition.head(now)

    patch.setattr(Commits, "_head", head)


def says_when_by_its_own_clock(patch: Patch) -> None:
    encode, decode = handover.encode, handover.decode
    patch.setattr(metadata, "encode", lambda runs, committed, _: encode(runs, committed, 0))
    patch.setattr(metadata, "decode_runs", lambda text, committed, _: decode(text, committed, 0))


def names_what_the_retention_took(patch: Patch) -> None:
    def head(partition: Partition, now: float, runs: Iterable[Run] = ()) -> Head:
        before = _head(partition, now, runs)
        return before._replace(runs=(*partition.held.entries(), *runs))

    _head = Partition.head
    patch.setattr(Partition, "head", head)


# --- what others run ----------------------------------------------------------------------------


def begins_what_others_run(patch: Patch) -> None:
    patch.setattr(Holds, "__contains__", lambda *_: False)


def does_not_shut_the_lane_of_what_others_run(patch: Patch) -> None:
    patch.setattr(Admission, "shut", lambda *_: None)
    opened = Admission.open

    def only_where_shut(admission: Admission, lane: tuple[int, Any]) -> None:
        if admission._shut[lane]:
            opened(admission, lane)
        else:
            del admission._shut[lane]
            admission._offer(lane)

    patch.setattr(Admission, "open", only_where_shut)


def has_no_margin(patch: Patch) -> None:
    init = Holds.__init__

    def without_margin(holds: Holds, runs: Iterable[Run], position: int, _: float) -> None:
        init(holds, runs, position, 0)

    patch.setattr(Holds, "__init__", without_margin)


def takes_over_before_it_has_read_all(patch: Patch) -> None:
    completed = Following.completed

    def as_of_now(following: Following, event: facts.Followed, now: float) -> bool:
        return completed(following, replace(event, as_of=now), now)

    patch.setattr(Following, "completed", as_of_now)


def takes_over_without_looking_again(patch: Patch) -> None:
    poll = Engine.poll

    def without(engine: Engine, now: float) -> Step:
        step = poll(engine, now)
        commands: list[facts.Command] = [
            one for one in step.commands if not isinstance(one, facts.TakeOver)
        ]
        return Step(commands, step.wake_at)

    patch.setattr(Engine, "poll", without)


def moves_the_bookmark_while_others_run(patch: Patch) -> None:
    patch.setattr(Partition, "_read_to", lambda partition: partition.completions.position())


def reads_on_while_it_lets_go(patch: Patch) -> None:
    completed = Following.completed

    def blind(following: Following, event: facts.Followed, now: float) -> bool:
        leaving, following._board.departures.leaving = following._board.departures.leaving, {}
        done = completed(following, event, now)
        following._board.departures.leaving = leaving
        return done

    patch.setattr(Following, "completed", blind)


# --- what comes back ----------------------------------------------------------------------------


def keeps_everything_that_comes_back(patch: Patch) -> None:
    def keep(arrival: Arrival, number: int, partition: Partition, _: Recovered, now: float) -> None:
        for record, _question in arrival._board.questions_of(number):
            partition.begun[record.offset] = record

    patch.setattr(Arrival, "_keep", keep)


def begins_again_what_comes_back(patch: Patch) -> None:
    keep = Arrival._keep

    def keep_nothing(
        arrival: Arrival, number: int, partition: Partition, recovered: Recovered, now: float
    ) -> None:
        keep(arrival, number, partition, recovered, now)
        partition.begun.clear()

    patch.setattr(Arrival, "_keep", keep_nothing)


def forgets_what_is_on_its_way_when_it_comes_back(patch: Patch) -> None:
    keep = Arrival._keep

    def keep_and_forget(
        arrival: Arrival, number: int, partition: Partition, recovered: Recovered, now: float
    ) -> None:
        keep(arrival, number, partition, recovered, now)
        partition.completions._in_flight.clear()

    patch.setattr(Arrival, "_keep", keep_and_forget)


def begins_again_at_once_what_it_has_lost(patch: Patch) -> None:
    patch.setattr(Partition, "hold", lambda partition, run: partition.cut_off(run.offset))


# --- who may speak, and until when --------------------------------------------------------------


def speaks_when_its_time_is_over(patch: Patch) -> None:
    until = Board.speaks_until

    def for_ever(board: Board, record: RecordId) -> float | None:
        question = board.questions.get(record)
        handed_over = question is not None and question.until is not None
        return math.inf if handed_over else until(board, record)

    expire = Work.expire

    def never(work: Work, now: float) -> None:
        work._board.until._due.clear()
        work._board.until._heap.clear()
        expire(work, now)

    patch.setattr(Board, "speaks_until", for_ever)
    patch.setattr(Work, "expire", never)


def keeps_what_it_was_evicted_from(patch: Patch) -> None:
    revoke = Release.revoke

    def as_asked(leaver: Release, event: facts.Revoking, now: float) -> None:
        revoke(leaver, replace(event, commits=True), now)

    patch.setattr(Release, "revoke", as_asked)


def says_what_ends_during_the_last_commit(patch: Patch) -> None:
    patch.setattr(Departures, "silences", lambda *_: False)


def goes_on_without_its_last_commit(patch: Patch) -> None:
    ended = Release.ended

    def all_is_well(leaver: Release, event: facts.Released, now: float) -> None:
        ended(leaver, replace(event, committed=True), now)

    patch.setattr(Release, "ended", all_is_well)


def drops_what_runs_when_it_leaves(patch: Patch) -> None:
    ended = Release.ended

    def and_drop(leaver: Release, event: facts.Released, now: float) -> None:
        ended(leaver, replace(event, committed=event.committed and not leaver.stopping), now)

    patch.setattr(Release, "ended", and_drop)


def does_not_wait_for_a_publish_on_its_way(patch: Patch) -> None:
    patch.setattr(Question, "on_its_way", False)


def has_a_lease_for_ever(patch: Patch) -> None:
    patch.setattr(Lease, "until", property(lambda _: math.inf))


def begins_what_may_be_anothers(patch: Patch) -> None:
    start = Starting.start

    def at_any_time(starting: Starting, now: float) -> None:
        board = starting._board
        lease, board.lease = board.lease, Lease(replace(board.policy.lease, margin=-math.inf))
        board.lease.renewed(now, rebalancing=False)
        start(starting, now)
        board.lease = lease

    patch.setattr(Starting, "start", at_any_time)


def renews_the_lease_when_it_reads_the_answer(patch: Patch) -> None:
    heard = Engine._heard

    def at_once(engine: Engine, event: facts.Heard, now: float) -> None:
        heard(engine, replace(event, sent_at=now), now)

    patch.setattr(Engine, "_heard", at_once)


def ignores_that_the_group_does_not_wait_for_ever(patch: Patch) -> None:
    renewed = Lease.renewed

    def confirmed(lease: Lease, sent_at: float, *, rebalancing: bool) -> None:
        renewed(lease, sent_at, rebalancing=rebalancing and False)

    patch.setattr(Lease, "renewed", confirmed)


def believes_that_a_commit_confirms_the_generation(patch: Patch) -> None:
    """A group takes them while it rebalances, too."""
    committed = Engine._committed

    def confirmed(engine: Engine, event: facts.Committed, now: float) -> None:
        committed(engine, event, now)
        engine.lease.renewed(now, rebalancing=False)

    patch.setattr(Engine, "_committed", confirmed)


# --- around the core ----------------------------------------------------------------------------


def sends_whatever_the_client_has(patch: Patch) -> None:
    patch.setattr(Channel, "may_be_sent", lambda *_: True)


def sends_tokens_whoever_has_the_question(patch: Patch) -> None:
    may_be_sent = Channel.may_be_sent

    def tokens(channel: Channel, saying: Saying) -> bool:
        return not saying.completes or may_be_sent(channel, saying)

    patch.setattr(Channel, "may_be_sent", tokens)


def does_not_wait_for_what_it_has_given_up(patch: Patch) -> None:
    """Where the broker is slow enough for it to matter."""
    patch.setattr(Sink, "settled", 0.0)
    patch.setattr(sink, "SLOW_TOKENS", 0.5)
