"""How things stand, as the engine and the source know it."""

from penstock import __version__
from penstock.clock import Clock
from penstock.core import facts
from penstock.core.breaker import Cause
from penstock.core.facts import Reading
from penstock.core.halts import Scope
from penstock.core.offset_map import DoneBeyond
from tests.core.driven import AT_ONCE, UPSTREAM, Driven, fetched, record, recovered
from tests.support.scraping import Scrape, quiet, scrape

NOW = 50.0
CLOCK = Clock(lambda: NOW, lambda: NOW)


def looked_at(drive: Driven, **known: object) -> Scrape:
    return scrape(quiet(engine=drive.engine, clock=CLOCK, **known))  # type: ignore[arg-type]


def test_the_pool_and_what_waits_for_it() -> None:
    drive = Driven(slots=2)
    drive(1, *(fetched(offset) for offset in range(5)))
    drive(2, facts.Halted(Scope(partition=3)))
    served = looked_at(drive)
    assert served["penstock_slots"] == 2
    assert served["penstock_in_flight"] == 2
    assert served["penstock_waiting"] == 3
    assert served['penstock_paused{scope="partition/3"}'] == 1
    assert served['penstock_paused{scope="all"}'] == 0
    assert served['penstock_oldest_unresolved_seconds{partition="0"}'] == NOW - 1
    assert served[f'penstock_build_info{{version="{__version__}"}}'] == 1
    assert served["penstock_kafka_reachable"] == 1


def test_a_backlog_is_told_of_partitions_that_both_know() -> None:
    drive = Driven(partitions=())
    drive.open(0, {0: 4, 1: 4}, recovered(DoneBeyond(3, ((5, 8),))))
    readings = {
        0: Reading(4, 3, 3, 10),
        # The assignment before.
        1: Reading(3, 3, 3, 10),
        2: Reading(4, 3, 3, 10),
    }
    served = looked_at(drive, readings=readings)
    backlogs = {n: v for n, v in served.samples.items() if n.startswith("penstock_backlog")}
    assert backlogs == {'penstock_backlog{partition="0"}': 4}


def test_what_the_last_commit_says_beside_its_offset() -> None:
    drive = Driven(cadence=AT_ONCE)
    drive(1, fetched(0), fetched(1))
    assert looked_at(drive)['penstock_offset_map_bytes{partition="0"}'] == 0
    [*_, commit] = drive.done(2, record(1))
    assert isinstance(commit, facts.Commit)
    head = commit.heads[0]
    assert head.done
    assert looked_at(drive)['penstock_offset_map_bytes{partition="0"}'] == 0, "it is on its way"
    drive(3, facts.Committed())
    served = looked_at(drive, lag={0: 3}, committed_at={0: NOW - 2})
    assert served['penstock_offset_map_bytes{partition="0"}'] == len(head.done)
    assert served["penstock_offset_map_limit_bytes"] == drive.engine.policy.limits.map_letters
    assert served['penstock_commit_age_seconds{partition="0"}'] == 2
    assert served['penstock_commit_lag{partition="0"}'] == 3


def test_why_a_model_is_not_called() -> None:
    drive = Driven()
    [(name, model)] = drive.engine.models.items()
    shut = {cause: f'penstock_model_shut{{cause="{cause}",model="{name}"}}' for cause in Cause}
    assert [looked_at(drive)[series] for series in shut.values()] == [0, 0]
    for attempt in range(5):
        model.failed(record(attempt), UPSTREAM, facts.ONE_CALL, 1, answered=False)
    assert looked_at(drive)[shut[Cause.FAILING]] == 1
    assert looked_at(drive)[shut[Cause.RATE_LIMITED]] == 0
