"""Every guarantee can fail: a core with one small fault is caught by the guarantee it breaks.

Only the guarantee under test watches, so that none can hide behind another.
"""

import inspect
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest

from penstock.core.breaker import BreakerPolicy
from penstock.core.failure import Kind
from penstock.core.gate import GatePolicy
from penstock.core.limiter import LimiterPolicy
from penstock.core.partition import Limits
from penstock.core.retry import RetryPolicy
from tests.simulation import draw, guarantees, mutations
from tests.simulation import mutations_halts as halts
from tests.simulation import mutations_handover as handover
from tests.simulation import mutations_provider as provider
from tests.simulation import test_counterexamples as cases
from tests.simulation.mutations import Mutation
from tests.simulation.world import World

SEEDS = range(1_000)

Where = Callable[[World], bool]


def anywhere(_: World) -> bool:
    return True


def disturbed(world: World) -> bool:
    return world.weather.disturbed


def moving(world: World) -> bool:
    return world.weather.moving


def calm(world: World) -> bool:
    """Members come and go, and that is all."""
    return moving(world) and not disturbed(world)


def full(world: World) -> bool:
    """Hardly anything fits into its commits."""
    return world.policy.limits.map_letters < Limits().map_letters


def full_and_disturbed(world: World) -> bool:
    return full(world) and disturbed(world)


CAUGHT: list[tuple[type[guarantees.Guarantee], Mutation, Where]] = [
    (guarantees.NothingLost, mutations.resolves_what_it_drops, anywhere),
    (guarantees.NothingLost, mutations.commits_to_the_end_of_what_was_fetched, anywhere),
    (guarantees.NothingLost, mutations.believes_a_claim_about_another_record, disturbed),
    (guarantees.OneCompletion, mutations.tracks_again_what_is_done, anywhere),
    (guarantees.OneCompletion, mutations.publishes_a_refused_completion_twice, anywhere),
    (guarantees.OneCompletion, mutations.forgets_what_is_on_its_way, disturbed),
    (guarantees.OneCompletion, mutations.guesses_a_position_that_nobody_told, disturbed),
    (guarantees.OneCompletion, mutations.does_not_wait_for_what_was_claimed, disturbed),
    (guarantees.OneCompletion, mutations.ignores_claims, disturbed),
    (guarantees.OneCompletion, mutations.forgets_what_the_commit_before_said, disturbed),
    (guarantees.OneCompletion, mutations.cuts_off_a_map_that_does_not_fit, full_and_disturbed),
    (
        guarantees.OneCompletion,
        mutations.moves_the_bookmark_of_a_map_that_does_not_fit,
        full_and_disturbed,
    ),
    (guarantees.PaidWorkNotRepeated, mutations.tracks_again_what_is_done, anywhere),
    (guarantees.PaidWorkNotRepeated, mutations.forgets_what_is_on_its_way, disturbed),
    (guarantees.PaidWorkNotRepeated, mutations.does_not_wait_for_what_was_claimed, disturbed),
    (guarantees.PaidWorkNotRepeated, mutations.never_asks_for_duplicates, anywhere),
    (guarantees.PaidWorkNotRepeated, mutations.forgets_too_early_who_asked, anywhere),
    (guarantees.PaidWorkNotRepeated, mutations.forgets_who_asked_before_the_assignment, disturbed),
    (guarantees.PaidWorkNotRepeated, handover.does_not_name_what_goes_on, moving),
    (guarantees.PaidWorkNotRepeated, handover.begins_what_others_run, moving),
    (guarantees.PaidWorkNotRepeated, handover.begins_again_what_comes_back, moving),
    (guarantees.PaidWorkNotRepeated, handover.forgets_what_others_run, moving),
    (guarantees.PaidWorkNotRepeated, handover.keeps_everything_that_comes_back, moving),
    (guarantees.PaidWorkNotRepeated, handover.says_when_by_its_own_clock, disturbed),
    (guarantees.PaidWorkNotRepeated, handover.begins_what_may_be_anothers, disturbed),
    (guarantees.WorkHandedOver, handover.hands_nothing_over, calm),
    (guarantees.WorkHandedOver, handover.hands_over_only_what_its_programs_run, calm),
    (guarantees.WorkHandedOver, handover.drops_what_runs_when_it_leaves, calm),
    (guarantees.CancelledNotStarted, provider.forgets_what_nobody_wants, anywhere),
    (guarantees.PausedNotStarted, halts.starts_what_is_paused, anywhere),
    (guarantees.PausedNotStarted, halts.starts_again_what_is_paused, anywhere),
    (guarantees.PausedNotStarted, halts.knows_no_programs, anywhere),
    (guarantees.PausedNotStarted, halts.knows_no_partitions, anywhere),
    (guarantees.PausedNotStarted, halts.goes_on_with_all_when_one_does, anywhere),
    (guarantees.NothingCommittedEarly, mutations.resolves_before_the_acknowledgement, anywhere),
    (guarantees.NothingCommittedEarly, mutations.commits_to_the_end_of_what_was_fetched, anywhere),
    (guarantees.NothingCommittedEarly, mutations.says_one_offset_too_many, anywhere),
    (guarantees.CommitsNeverGoBack, mutations.commits_to_the_latest_outstanding_offset, anywhere),
    (guarantees.CommitsNeverGoBack, mutations.commits_an_empty_ledger, disturbed),
    (guarantees.CommitsKeptAlive, mutations.never_commits_what_has_not_changed, anywhere),
    (guarantees.CommitsFit, mutations.commits_a_map_that_does_not_fit, full),
    (guarantees.KeysInOrder, mutations.never_shuts_a_lane, anywhere),
    (guarantees.KeysInOrder, mutations.opens_the_lane_before_the_acknowledgement, anywhere),
    (guarantees.KeysInOrder, handover.does_not_shut_the_lane_of_what_others_run, moving),
    (guarantees.TokensInOrder, handover.has_a_lease_for_ever, disturbed),
    (guarantees.TokensInOrder, handover.takes_over_without_looking_again, disturbed),
    (guarantees.TokensInOrder, handover.begins_again_at_once_what_it_has_lost, disturbed),
    (guarantees.TokensInOrder, handover.speaks_when_its_time_is_over, disturbed),
    (guarantees.TokensInOrder, handover.does_not_wait_for_what_it_has_given_up, disturbed),
    (guarantees.TokensInOrder, handover.sends_tokens_whoever_has_the_question, disturbed),
    (guarantees.TokensInOrder, mutations.calls_clean_what_it_cut_off, disturbed),
    (guarantees.TokensInOrder, mutations.calls_clean_what_others_cut_off, disturbed),
    (guarantees.TokensInOrder, mutations.calls_every_last_commit_clean, disturbed),
    (guarantees.TokensInOrder, mutations.begins_before_the_opening_commit, disturbed),
    (guarantees.SlotsBounded, mutations.has_one_slot_too_many, anywhere),
    (guarantees.SlotsBounded, mutations.frees_the_slot_at_the_cancellation, anywhere),
    (guarantees.ProviderHeeded, provider.ignores_how_long_it_is_to_wait, anywhere),
    (guarantees.ProviderHeeded, provider.forgets_a_wait_when_a_probe_fails, anywhere),
    (guarantees.IntakeBounded, mutations.never_pauses, anywhere),
    (guarantees.IntakeBounded, provider.forgets_who_waits_to_run_again, anywhere),
    (guarantees.SlotsBounded, provider.runs_again_without_a_slot, anywhere),
    (guarantees.KeysInOrder, provider.opens_the_lane_of_what_runs_again, anywhere),
    (guarantees.DeadlinesKept, provider.has_no_deadline_between_attempts, anywhere),
    (guarantees.PaidWorkNotRepeated, provider.runs_again_what_it_has_lost, disturbed),
    (guarantees.ProgressWhenCalm, provider.never_asks_whether_the_model_is_back, anywhere),
    (guarantees.ProgressWhenCalm, provider.resumes_nothing_to_ask_with, anywhere),
    (guarantees.ProgressWhenCalm, provider.never_runs_again, anywhere),
    (guarantees.ProgressWhenCalm, provider.keeps_what_waited_at_the_gate, anywhere),
    (guarantees.ProgressWhenCalm, halts.never_goes_on, anywhere),
    (guarantees.ProgressWhenCalm, halts.resumes_no_partition, anywhere),
    (guarantees.LoopNeverSpins, provider.wakes_for_a_model_that_may_be_called, anywhere),
    (guarantees.DeadlinesKept, mutations.is_late_for_every_deadline, anywhere),
    (guarantees.LoopNeverSpins, mutations.forgets_the_backoff_when_it_says_when_to_wake, anywhere),
    (guarantees.ProgressWhenCalm, mutations.never_commits_again_after_a_failure, anywhere),
    (guarantees.ProgressWhenCalm, mutations.never_publishes_again_what_was_refused, anywhere),
    (guarantees.ProgressWhenCalm, mutations.never_resumes, anywhere),
]


BY_HAND: list[tuple[Callable[[], None], Mutation]] = [
    (
        cases.test_1_a_leaver_without_membership_drops_its_runs,
        handover.drops_what_runs_when_it_leaves,
    ),
    (cases.test_2_clock_skew_over_the_margin, handover.says_when_by_its_own_clock),
    (cases.test_3_entries_lost_between_two_rebalances, handover.forgets_what_others_run),
    (
        cases.test_3_the_entries_of_who_has_its_partition_again,
        handover.opens_without_its_own_runs_of_before,
    ),
    (
        cases.test_4_revoked_while_recovering_an_empty_ledger_committed,
        mutations.commits_an_empty_ledger,
    ),
    (
        cases.test_5_a_member_that_missed_a_generation_keeps_its_old_ledger,
        handover.keeps_what_it_was_evicted_from,
    ),
    (
        cases.test_5_what_the_last_commit_was_to_say_and_did_not,
        handover.goes_on_without_its_last_commit,
    ),
    (
        cases.test_6_a_bookmark_beyond_a_landed_unacknowledged_completion,
        mutations.forgets_what_is_on_its_way,
    ),
    (cases.test_6_sent_again_its_first_time_counts, mutations.forgets_what_is_on_its_way),
    (
        cases.test_6_an_acknowledgement_without_a_position_leaves_the_bookmark_where_it_is,
        mutations.guesses_a_position_that_nobody_told,
    ),
    (
        cases.test_6_while_others_run_something_it_is_where_their_completions_are_read,
        handover.moves_the_bookmark_while_others_run,
    ),
    (cases.test_7_crash_before_the_first_commit, mutations.begins_before_the_opening_commit),
    (
        cases.test_7_completions_of_a_group_without_a_commit_count_from_their_start,
        mutations.ignores_claims,
    ),
    (
        cases.test_8_an_answer_read_after_the_thaw_renews_the_lease,
        handover.renews_the_lease_when_it_reads_the_answer,
    ),
    (
        cases.test_9_dropped_by_the_rebalance_timeout_with_a_valid_lease,
        handover.ignores_that_the_group_does_not_wait_for_ever,
    ),
    (
        cases.test_9_a_group_takes_commits_while_it_rebalances,
        handover.believes_that_a_commit_confirms_the_generation,
    ),
    (
        cases.test_10_network_cut_producer_retries_for_ever,
        handover.sends_whatever_the_client_has,
    ),
    (cases.test_11_a_zombies_tokens, handover.sends_tokens_whoever_has_the_question),
    (
        cases.test_13_a_late_periodic_commit_overwrites_the_final_one,
        mutations.commits_beside_a_commit_in_flight,
    ),
    (
        cases.test_14_a_publish_in_flight_at_the_final_commit,
        handover.does_not_wait_for_a_publish_on_its_way,
    ),
    (
        cases.test_14_what_ends_while_the_final_commit_is_on_its_way_waits_for_it,
        handover.says_what_ends_during_the_last_commit,
    ),
    (
        cases.test_15_publishing_not_counted_as_running,
        handover.hands_over_only_what_its_programs_run,
    ),
    (
        cases.test_16_the_hold_runs_out_while_the_tail_lags,
        handover.takes_over_before_it_has_read_all,
    ),
    (cases.test_16_the_hold_runs_out_while_the_tail_lags, handover.has_no_margin),
    (cases.test_17_a_stale_token_sequence, handover.takes_over_without_looking_again),
    (
        cases.test_17_it_is_the_same_for_what_turns_up_later,
        handover.takes_over_without_looking_again,
    ),
    (
        cases.test_ended_while_its_partition_was_away,
        handover.begins_again_at_once_what_it_has_lost,
    ),
    (
        cases.test_a_bookmark_beyond_what_had_landed_when_its_partition_came_back,
        handover.forgets_what_is_on_its_way_when_it_comes_back,
    ),
    (
        cases.test_a_bookmark_beyond_what_appeared_while_it_let_go,
        handover.reads_on_while_it_lets_go,
    ),
    (
        cases.test_lost_before_its_partition_had_opened_again,
        handover.begins_again_at_once_what_it_has_lost,
    ),
    (cases.test_the_retention_took_what_others_run, handover.names_what_the_retention_took),
    (
        cases.test_read_again_a_duplicate_is_one_still_when_the_first_is_forgotten,
        mutations.forgets_which_records_are_duplicates,
    ),
    (
        cases.test_the_end_of_a_stream_without_a_run_is_not_left_out_of_the_last_commit,
        mutations.calls_clean_what_ended_without_a_run,
    ),
]


@pytest.mark.parametrize(
    ("guarantee", "mutation", "where"),
    CAUGHT,
    ids=lambda value: value.__name__,
)
def test_a_faulty_core_is_caught(
    guarantee: type[guarantees.Guarantee],
    mutation: Mutation,
    where: Where,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mutation(monkeypatch)
    assert any(_breaks(guarantee, seed, where) for seed in SEEDS)


def test_every_guarantee_is_proved_able_to_fail() -> None:
    assert {guarantee for guarantee, _, _ in CAUGHT} == set(guarantees.GUARANTEES)


@pytest.mark.parametrize(("counterexample", "mutation"), BY_HAND, ids=lambda value: value.__name__)
def test_a_faulty_core_falls_for_the_counterexample(
    counterexample: Callable[[], None], mutation: Mutation, monkeypatch: pytest.MonkeyPatch
) -> None:
    mutation(monkeypatch)
    with pytest.raises((AssertionError, ValueError)):
        counterexample()


def test_every_counterexample_is_proved_able_to_fail() -> None:
    tests = {value for name, value in vars(cases).items() if name.startswith("test_")}
    assert {counterexample for counterexample, _ in BY_HAND} == tests


def test_every_fault_is_caught() -> None:
    faults = {
        fault
        for room in (mutations, handover, provider, halts)
        for name, fault in inspect.getmembers(room, inspect.isfunction)
        if fault.__module__ == room.__name__ and not name.startswith("_")
    }
    caught = {mutation for _, mutation, _ in CAUGHT} | {mutation for _, mutation in BY_HAND}
    assert faults == caught


def test_fewer_maps_do_not_fit_when_a_nearly_full_one_holds_back_what_would_make_it_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No guarantee depends on it: the bookmark finds what the map does not say, only slower."""
    _serves_whoever_asks(monkeypatch)
    seeds = [seed for seed in range(0, 300, 2) if full(World(seed))]
    held_back = sum(_did_not_fit(seed) for seed in seeds)
    monkeypatch.setattr("penstock.core.partition.FULL", 10**6)
    assert 0 < 1.5 * held_back < sum(_did_not_fit(seed) for seed in seeds)


def _serves_whoever_asks(patch: pytest.MonkeyPatch) -> None:
    """The provider: else what waits for another attempt waits longer than any map."""
    once = RetryPolicy(attempts={Kind.UPSTREAM: 1, Kind.ANSWER: 1})
    patch.setattr(draw, "RetryPolicy", lambda **_: once)
    patch.setattr(draw, "BreakerPolicy", lambda **_: BreakerPolicy(failures=10**6))
    patch.setattr(draw, "LimiterPolicy", lambda *_, **__: LimiterPolicy("off"))
    patch.setattr(draw, "GatePolicy", lambda **_: GatePolicy(run=10**6))
    weather, never = draw.draw_weather, (10**9, 10**9)

    def fair(rng: Random, seed: int) -> draw.Weather:
        return replace(weather(rng, seed), limited=0.0, unwanted=0.0, outage=never, pauses=())

    patch.setattr("tests.simulation.world.draw_weather", fair)


def _did_not_fit(seed: int) -> int:
    world = World(seed)
    world.run()
    return world.seen["did not fit"]


def _breaks(guarantee: type[guarantees.Guarantee], seed: int, where: Where) -> bool:
    world = World(seed, [guarantee])
    try:
        if where(world):
            world.run()
    except AssertionError as error:
        return str(error).startswith(f"{guarantee.__name__}:")
    except (KeyError, RuntimeError):
        # The fault broke the engine itself before the guarantee could see it: the next seed.
        return False
    return False
