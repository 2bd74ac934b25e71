"""Every family of the table is served from the start, and counts what the table says."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from penstock.clock import Clock
from penstock.core import facts
from penstock.core.bookmark import Bookmark
from penstock.core.facts import Head, RecordId, Status
from penstock.core.failure import Failure, Kind
from penstock.core.handover import Run
from penstock.events.completion import Usage
from penstock.telemetry import metrics, series
from penstock.telemetry.counting import Counts
from penstock.testing import Stage, stage
from tests.support.scraping import Scrape, quiet, scrape

RECORD = RecordId(0, 1, 7)
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


class Time:
    def __init__(self) -> None:
        self.now = 100.0
        self.clock = Clock(lambda: self.now, lambda: self.now)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def counts(time: Time) -> Counts:
    return Counts(["qa", "other"], "us", time.clock)


def job(status: Status | None = "completed", **given: Any) -> Any:
    """What has run once, from 10 to 14 s, and said 5 pieces from 11 s on."""
    said: dict[str, Any] = {
        "delivery": SimpleNamespace(program="qa"),
        "status": status,
        "failure": None,
        "dead_lettered": False,
        "queued": 3.0,
        "started_at": 10.0,
        "ended_at": 14.0,
        "attempts": 1,
        "trace_id": None,
        "stream": SimpleNamespace(tokens=5, merged=2, waited=0.5),
        "report": SimpleNamespace(
            first_token_at=11.0,
            usage=Usage(prompt_tokens=20, completion_tokens=6, total_tokens=26),
            catch_up=lambda: None,
        ),
    }
    return SimpleNamespace(**{**said, **given})


# --- the table ------------------------------------------------------------------------------------


def test_all_of_the_table_is_served_from_the_start_and_nothing_else() -> None:
    served = scrape(quiet())
    assert served.kinds == {family.name: family.kind for family in metrics.SERVICE}
    for family in metrics.SERVICE:
        assert served.labels[family.name] <= set(family.labels)


def test_what_can_be_known_is_there_at_0_from_the_start(counts: Counts) -> None:
    served = scrape(quiet(counts))
    for family in metrics.SERVICE:
        if family.kind == "counter" and not family.labels:
            assert served[family.served_as] == 0
    for program in ("qa", "other", "none"):
        for status in get_args(Status):
            assert (
                served[f'penstock_questions_ended_total{{program="{program}",status="{status}"}}']
                == 0
            )
        assert served[f'penstock_time_per_token_seconds_count{{program="{program}"}}'] == 0
        assert served[f'penstock_model_tokens_total{{program="{program}",type="prompt"}}'] == 0
    assert served['penstock_dead_letters_total{code="not_json",kind="RECORD"}'] == 0
    assert served['penstock_dead_letters_total{code="deadline_exceeded",kind="DEADLINE"}'] == 0
    assert served['penstock_attempts_failed_total{code="rate_limited",kind="UPSTREAM"}'] == 0
    assert served['penstock_log_resets_total{cause="retention"}'] == 0


def test_the_process_itself_is_served_beside_them(counts: Counts) -> None:
    said, _ = series.text(counts.registry, "")
    assert b"\nprocess_resident_memory_bytes " in said


# --- questions ------------------------------------------------------------------------------------


def test_what_a_question_took_is_counted_at_its_end(counts: Counts) -> None:
    counts.observe(facts.Published(RECORD), job())
    served = scrape(counts)
    assert served['penstock_questions_ended_total{program="qa",status="completed"}'] == 1
    assert served['penstock_tokens_total{program="qa"}'] == 5
    assert served['penstock_tokens_merged_total{program="qa"}'] == 2
    assert served['penstock_sink_wait_seconds_total{program="qa"}'] == 0.5
    assert served['penstock_model_tokens_total{program="qa",type="prompt"}'] == 20
    assert served['penstock_model_tokens_total{program="qa",type="completion"}'] == 6
    assert served['penstock_queued_seconds_sum{program="qa"}'] == 3
    assert served['penstock_first_token_seconds_sum{program="qa"}'] == 1
    assert served['penstock_question_duration_seconds_sum{program="qa"}'] == 4
    assert served['penstock_time_per_token_seconds_sum{program="qa"}'] == 0.75
    assert served['penstock_question_duration_seconds_count{program="other"}'] == 0


@pytest.mark.parametrize(
    "given",
    [
        {"attempts": 2},
        {"status": "expired"},
        {"stream": SimpleNamespace(tokens=1, merged=0, waited=0.0)},
    ],
    ids=["the pause between attempts", "the silence before a deadline", "one piece"],
)
def test_what_is_not_between_two_tokens_is_no_time_per_token(
    counts: Counts, given: dict[str, Any]
) -> None:
    counts.observe(facts.Published(RECORD), job(**given))
    served = scrape(counts)
    assert served['penstock_time_per_token_seconds_count{program="qa"}'] == 0
    assert served['penstock_first_token_seconds_count{program="qa"}'] == 1


def test_what_never_started_took_no_time(counts: Counts) -> None:
    failure = Failure(Kind.RECORD, "not_json", "not JSON", "decode")
    refused = job(
        "failed",
        delivery=SimpleNamespace(program=None),
        started_at=None,
        ended_at=None,
        failure=failure,
        dead_lettered=True,
    )
    counts.observe(facts.Fetched(RECORD, None, 0, failure=failure), refused)
    counts.observe(facts.Published(RECORD), refused)
    served = scrape(counts)
    assert served["penstock_questions_received_total"] == 1
    assert served['penstock_questions_ended_total{program="none",status="failed"}'] == 1
    assert served['penstock_dead_letters_total{code="not_json",kind="RECORD"}'] == 1
    assert served['penstock_question_duration_seconds_count{program="none"}'] == 0


def test_what_was_cut_off_is_paid_for(counts: Counts) -> None:
    counts.observe(facts.Drop(RECORD, cut_off=True), job(None, ended_at=None))
    counts.observe(facts.Drop(RECORD, cut_off=False), None)
    served = scrape(counts)
    assert served["penstock_questions_cut_off_total"] == 1
    assert served['penstock_model_tokens_total{program="qa",type="prompt"}'] == 20
    assert served['penstock_question_duration_seconds_count{program="qa"}'] == 0


def test_a_name_that_nobody_knows_makes_no_label(counts: Counts) -> None:
    unheard_of = Failure(Kind.ANSWER, "whatever a program says", "")
    unserved = SimpleNamespace(program="whatever a question says")
    counts.observe(facts.RetryAt(RECORD, unheard_of, 1), job())
    counts.observe(
        facts.Published(RECORD),
        job("failed", failure=unheard_of, dead_lettered=True, delivery=unserved),
    )
    served = scrape(counts)
    assert served['penstock_attempts_failed_total{code="other",kind="ANSWER"}'] == 1
    assert served['penstock_dead_letters_total{code="other",kind="ANSWER"}'] == 1
    assert served['penstock_questions_ended_total{program="none",status="failed"}'] == 1
    assert not [name for name in served.samples if "whatever" in name]


def test_what_was_done_and_what_another_had_is_counted(counts: Counts) -> None:
    for fact in (facts.AlreadyDone(RECORD), facts.TakeOver(RECORD, 1), facts.Start(RECORD, 1, 9)):
        counts.observe(fact, None)
    served = scrape(counts)
    assert served["penstock_questions_recovered_total"] == 1
    assert served["penstock_questions_taken_over_total"] == 1
    assert served["penstock_attempts_total"] == 1
    assert served["penstock_questions_received_total"] == 0


def test_a_trace_is_named_where_the_scraper_understands_it(counts: Counts) -> None:
    counts.observe(facts.Published(RECORD), job(trace_id=TRACE))
    said, content_type = series.text(counts.registry, OPENMETRICS)
    assert content_type.startswith("application/openmetrics-text")
    [line] = [line for line in said.decode().splitlines() if line.startswith(_AT_4_S)]
    assert line.startswith(f'{_AT_4_S} 1.0 # {{trace_id="{TRACE}"}} 4.0')
    assert said.endswith(b"# EOF\n")

    classic, content_type = series.text(counts.registry, "text/plain")
    assert content_type.startswith("text/plain")
    assert TRACE.encode() not in classic


_AT_4_S = 'penstock_question_duration_seconds_bucket{le="5.0",program="qa"}'


# --- partitions -----------------------------------------------------------------------------------


def released(*runs: Run) -> facts.Release:
    return facts.Release(frozenset({0}), {0: Head(7, "", Bookmark(0, 1), runs=runs)})


@pytest.mark.parametrize(
    ("committed", "gone", "handed_over"),
    [
        (True, facts.Given(frozenset({1})), 2),
        (True, facts.Depart(), 2),
        (False, facts.Given(frozenset({1})), 0),
        (True, facts.Given(frozenset({0, 1})), 0),
    ],
    ids=["to another", "at the end", "the group does not know", "it comes back"],
)
def test_what_goes_on_is_counted_when_its_partition_is_another_member_s(
    counts: Counts,
    time: Time,
    committed: bool,
    gone: facts.Given | facts.Depart,
    handed_over: int,
) -> None:
    ours = [Run(offset, "us", time.now + 30) for offset in (7, 9)]
    waited_for = Run(11, "us", time.now)
    counts.observe(released(*ours, Run(12, "them", time.now + 30), waited_for), None)
    assert scrape(counts)["penstock_questions_handed_over_total"] == 0
    counts.observe(facts.Released(frozenset({0}), committed), None)
    assert scrape(counts)["penstock_questions_handed_over_total"] == 0
    counts.observe(gone, None)
    assert scrape(counts)["penstock_questions_handed_over_total"] == handed_over


def test_a_rebalance_lasts_until_there_are_partitions_again(counts: Counts, time: Time) -> None:
    counts.observe(facts.Assigned({0: 1}, {}), None)
    counts.observe(facts.Revoking(frozenset({0}), 0), None)
    time.now += 2
    counts.observe(facts.Assigned({0: 2}, {}), None)
    counts.observe(facts.Assigned({1: 3}, {}), None)
    served = scrape(counts)
    assert served["penstock_rebalance_duration_seconds_count"] == 1
    assert served["penstock_rebalance_duration_seconds_sum"] == 2


def test_who_is_given_nothing_is_in_no_rebalance(counts: Counts, time: Time) -> None:
    counts.observe(facts.Revoking(frozenset({0}), 0), None)
    counts.observe(facts.Given(frozenset()), None)
    time.now += 3_600
    counts.observe(facts.Assigned({0: 2}, {}), None)
    assert scrape(counts)["penstock_rebalance_duration_seconds_count"] == 0


def test_how_late_the_loop_was(counts: Counts) -> None:
    counts.late(0.02)
    served = scrape(counts)
    assert served['penstock_event_loop_lag_seconds_bucket{le="0.01"}'] == 0
    assert served['penstock_event_loop_lag_seconds_bucket{le="0.025"}'] == 1


# --- a service ------------------------------------------------------------------------------------


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Stage, list[Counts]]]:
    """A service without Kafka, and what it counts."""
    made: list[Counts] = []

    def begin(writer: str, clock: Clock, _: str) -> Counts:
        made.append(Counts(["desk"], writer, clock))
        return made[0]

    # The package has a function of that name.
    monkeypatch.setattr(sys.modules[Stage.__module__], "Journal", begin)
    with stage(programs={"desk": "question -> answer"}, default_program="desk") as staged:
        yield staged, made


def test_what_a_service_counts_adds_up(watched: tuple[Stage, list[Counts]]) -> None:
    penstock, [counts] = watched
    penstock.model.fails(503)
    penstock.model.says(answer="Short waves scatter more.")
    assert penstock.ask("why?").attempts == 2
    penstock.model.fails(400)
    assert penstock.ask("too long?").status == "failed"
    penstock.model.hangs(answer="Well")
    unwanted = penstock.send("never mind")
    penstock.sleep(1)
    penstock.cancel(unwanted)
    penstock.run()

    served = scrape(counts)
    assert {
        name: value for name, value in served.samples.items() if value and "_ended" in name
    } == {
        'penstock_questions_ended_total{program="desk",status="completed"}': 1,
        'penstock_questions_ended_total{program="desk",status="failed"}': 1,
        'penstock_questions_ended_total{program="desk",status="cancelled"}': 1,
    }
    assert served["penstock_questions_received_total"] == 3
    assert served["penstock_attempts_total"] == 4
    assert served['penstock_attempts_failed_total{code="model_error",kind="UPSTREAM"}'] == 1
    assert dead_letters(served) == {
        'penstock_dead_letters_total{code="invalid_request",kind="RECORD"}': 1
    }
    assert served['penstock_question_duration_seconds_count{program="desk"}'] == 3
    assert served['penstock_first_token_seconds_count{program="desk"}'] == 2
    assert served['penstock_model_tokens_total{program="desk",type="completion"}'] > 0


def dead_letters(served: Scrape) -> dict[str, float]:
    return {n: v for n, v in served.samples.items() if v and n.startswith("penstock_dead_letters")}
