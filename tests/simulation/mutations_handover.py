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
from penstock.core.engine import Engine, Phase, Step
from penstock.core.facts import Head, RecordId, Recovered
from penstock.core.handover import Holds, Run
from penstock.core.lease import Lease
from penstock.core.partition import Partition
from penstock.kafka import metadata
from tests.simulation.sink import Channel, Saying, Sink

Patch = pytest.MonkeyPatch

# --- what a commit says still runs --------------------------------------------------------------


def does_not_name_what_goes_on(patch: Patch) -> None:
    release = Engine._release

    def without_names(engine: Engine, leaving: frozenset[int], now: float) -> None:
        release(engine, leaving, now)
        *before, last = engine._commands
        assert isinstance(last, facts.Release)
        heads = {number: _without(engine.writer, head) for number, head in last.heads.items()}
        engine._commands = [*before, replace(last, heads=heads)]

    patch.setattr(Engine, "_release", without_names)


def _without(runner: str, head: Head) -> Head:
    return head._replace(runs=tuple(run for run in head.runs if run.runner != runner))


def hands_nothing_over(patch: Patch) -> None:
    patch.setattr(Engine, "_runs", lambda *_: [])


def hands_over_only_what_its_programs_run(patch: Patch) -> None:
    runs = Engine._runs

    def running(engine: Engine, records: Iterable[RecordId]) -> list[Run]:
        on = (one for one in records if engine.questions[one].phase is not Phase.PUBLISHING)
        return runs(engine, on)

    patch.setattr(Engine, "_runs", running)


def forgets_what_others_run(patch: Patch) -> None:
    patch.setattr(Holds, "entries", lambda _: ())


def opens_without_its_own_runs_of_before(patch: Patch) -> None:
    def head(_: Engine, partition: Partition, now: float) -> Head:
        return partition.head(now)

    patch.setattr(Engine, "_head", head)


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
    others = Engine._others_completed

    def as_of_now(engine: Engine, event: facts.Followed, now: float) -> None:
        others(engine, replace(event, as_of=now), now)

    patch.setattr(Engine, "_others_completed", as_of_now)


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
    others = Engine._others_completed

    def blind(engine: Engine, event: facts.Followed, now: float) -> None:
        departures, engine._departures = engine._departures, {}
        others(engine, event, now)
        engine._departures = departures

    patch.setattr(Engine, "_others_completed", blind)


# --- what comes back ----------------------------------------------------------------------------


def keeps_everything_that_comes_back(patch: Patch) -> None:
    def keep(engine: Engine, number: int, partition: Partition, _: Recovered, now: float) -> None:
        for record in engine.questions:
            if record.partition == number:
                partition.begun[record.offset] = record

    patch.setattr(Engine, "_keep", keep)


def begins_again_what_comes_back(patch: Patch) -> None:
    keep = Engine._keep

    def keep_nothing(
        engine: Engine, number: int, partition: Partition, recovered: Recovered, now: float
    ) -> None:
        keep(engine, number, partition, recovered, now)
        partition.begun.clear()

    patch.setattr(Engine, "_keep", keep_nothing)


def forgets_what_is_on_its_way_when_it_comes_back(patch: Patch) -> None:
    keep = Engine._keep

    def keep_and_forget(
        engine: Engine, number: int, partition: Partition, recovered: Recovered, now: float
    ) -> None:
        keep(engine, number, partition, recovered, now)
        partition.completions._in_flight.clear()

    patch.setattr(Engine, "_keep", keep_and_forget)


def begins_again_at_once_what_it_has_lost(patch: Patch) -> None:
    patch.setattr(Partition, "hold", lambda partition, run: partition.cut_off(run.offset))


# --- who may speak, and until when --------------------------------------------------------------


def speaks_when_its_time_is_over(patch: Patch) -> None:
    until = Engine.speaks_until

    def for_ever(engine: Engine, record: RecordId) -> float | None:
        question = engine.questions.get(record)
        handed_over = question is not None and question.until is not None
        return math.inf if handed_over else until(engine, record)

    expire = Engine._expire

    def never(engine: Engine, now: float) -> None:
        engine._until._due.clear()
        engine._until._heap.clear()
        expire(engine, now)

    patch.setattr(Engine, "speaks_until", for_ever)
    patch.setattr(Engine, "_expire", never)


def keeps_what_it_was_evicted_from(patch: Patch) -> None:
    revoking = Engine._revoking

    def as_asked(engine: Engine, event: facts.Revoking, now: float) -> None:
        revoking(engine, replace(event, commits=True), now)

    patch.setattr(Engine, "_revoking", as_asked)


def says_what_ends_during_the_last_commit(patch: Patch) -> None:
    patch.setattr(Engine, "_must_wait", lambda *_: False)


def goes_on_without_its_last_commit(patch: Patch) -> None:
    ended = Engine._last_commit_ended

    def all_is_well(engine: Engine, event: facts.Released, now: float) -> None:
        ended(engine, replace(event, committed=True), now)

    patch.setattr(Engine, "_last_commit_ended", all_is_well)


def drops_what_runs_when_it_leaves(patch: Patch) -> None:
    ended = Engine._last_commit_ended

    def and_drop(engine: Engine, event: facts.Released, now: float) -> None:
        ended(engine, replace(event, committed=event.committed and not engine._stopping), now)

    patch.setattr(Engine, "_last_commit_ended", and_drop)


def does_not_wait_for_a_publish_on_its_way(patch: Patch) -> None:
    patch.setattr(Engine, "_on_its_way", lambda *_: False)


def has_a_lease_for_ever(patch: Patch) -> None:
    patch.setattr(Lease, "until", property(lambda _: math.inf))


def begins_what_may_be_anothers(patch: Patch) -> None:
    start = Engine._start

    def at_any_time(engine: Engine, now: float) -> None:
        lease, engine.lease = engine.lease, Lease(replace(engine.policy.lease, margin=-math.inf))
        engine.lease.renewed(now, rebalancing=False)
        start(engine, now)
        engine.lease = lease

    patch.setattr(Engine, "_start", at_any_time)


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
    acknowledged = Engine._commit_acknowledged

    def confirmed(engine: Engine, event: facts.Committed, now: float) -> None:
        acknowledged(engine, event, now)
        engine.lease.renewed(now, rebalancing=False)

    patch.setattr(Engine, "_commit_acknowledged", confirmed)


# --- around the core ----------------------------------------------------------------------------


def sends_whatever_the_client_has(patch: Patch) -> None:
    patch.setattr(Channel, "may_be_sent", lambda *_: True)


def sends_tokens_whoever_has_the_question(patch: Patch) -> None:
    may_be_sent = Channel.may_be_sent

    def tokens(channel: Channel, saying: Saying) -> bool:
        return not saying.completes or may_be_sent(channel, saying)

    patch.setattr(Channel, "may_be_sent", tokens)


def does_not_wait_for_what_it_has_given_up(patch: Patch) -> None:
    patch.setattr(Sink, "settled", 0.0)
