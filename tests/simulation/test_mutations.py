"""Every guarantee can fail: a core with one small fault is caught by the guarantee it breaks.

Only the guarantee under test watches, so that none can hide behind another.
"""

import inspect
from collections.abc import Callable

import pytest

from penstock.core.partition import Limits
from tests.simulation import guarantees, mutations
from tests.simulation import test_counterexamples as counterexamples
from tests.simulation.mutations import Mutation
from tests.simulation.world import World

SEEDS = range(1_000)

Where = Callable[[World], bool]


def anywhere(_: World) -> bool:
    return True


def disturbed(world: World) -> bool:
    return world.weather.disturbed


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
    (guarantees.OneCompletion, mutations.lets_go_with_publishes_on_their_way, disturbed),
    (guarantees.PaidWorkNotRepeated, mutations.tracks_again_what_is_done, anywhere),
    (guarantees.PaidWorkNotRepeated, mutations.forgets_what_is_on_its_way, disturbed),
    (guarantees.PaidWorkNotRepeated, mutations.does_not_wait_for_what_was_claimed, disturbed),
    (guarantees.PaidWorkNotRepeated, mutations.never_asks_for_duplicates, anywhere),
    (guarantees.PaidWorkNotRepeated, mutations.forgets_too_early_who_asked, anywhere),
    (guarantees.PaidWorkNotRepeated, mutations.forgets_who_asked_before_the_assignment, disturbed),
    (guarantees.NothingCommittedEarly, mutations.resolves_before_the_acknowledgement, anywhere),
    (guarantees.NothingCommittedEarly, mutations.commits_to_the_end_of_what_was_fetched, anywhere),
    (guarantees.NothingCommittedEarly, mutations.says_one_offset_too_many, anywhere),
    (guarantees.CommitsNeverGoBack, mutations.commits_to_the_latest_outstanding_offset, anywhere),
    (guarantees.CommitsNeverGoBack, mutations.commits_an_empty_ledger, disturbed),
    (guarantees.CommitsKeptAlive, mutations.never_commits_what_has_not_changed, anywhere),
    (guarantees.CommitsFit, mutations.commits_a_map_that_does_not_fit, full),
    (guarantees.KeysInOrder, mutations.never_shuts_a_lane, anywhere),
    (guarantees.KeysInOrder, mutations.opens_the_lane_before_the_acknowledgement, anywhere),
    (guarantees.TokensInOrder, mutations.calls_clean_what_it_cut_off, disturbed),
    (guarantees.TokensInOrder, mutations.calls_clean_what_others_cut_off, disturbed),
    (guarantees.TokensInOrder, mutations.calls_every_last_commit_clean, disturbed),
    (guarantees.TokensInOrder, mutations.begins_before_the_opening_commit, disturbed),
    (guarantees.SlotsBounded, mutations.has_one_slot_too_many, anywhere),
    (guarantees.SlotsBounded, mutations.frees_the_slot_at_the_cancellation, anywhere),
    (guarantees.IntakeBounded, mutations.never_pauses, anywhere),
    (guarantees.DeadlinesKept, mutations.is_late_for_every_deadline, anywhere),
    (guarantees.LoopNeverSpins, mutations.forgets_the_backoff_when_it_says_when_to_wake, anywhere),
    (guarantees.ProgressWhenCalm, mutations.never_commits_again_after_a_failure, anywhere),
    (guarantees.ProgressWhenCalm, mutations.never_publishes_again_what_was_refused, anywhere),
    (guarantees.ProgressWhenCalm, mutations.never_resumes, anywhere),
]


BY_HAND: list[tuple[Callable[[], None], Mutation]] = [
    (
        counterexamples.test_4_revoked_while_recovering_an_empty_ledger_committed,
        mutations.commits_an_empty_ledger,
    ),
    (
        counterexamples.test_6_a_bookmark_beyond_a_landed_unacknowledged_completion,
        mutations.forgets_what_is_on_its_way,
    ),
    (counterexamples.test_6_sent_again_its_first_time_counts, mutations.forgets_what_is_on_its_way),
    (
        counterexamples.test_6_an_acknowledgement_without_a_position_leaves_the_bookmark_where_it_is,
        mutations.guesses_a_position_that_nobody_told,
    ),
    (
        counterexamples.test_7_crash_before_the_first_commit,
        mutations.begins_before_the_opening_commit,
    ),
    (
        counterexamples.test_7_completions_of_a_group_without_a_commit_count_from_their_start,
        mutations.ignores_claims,
    ),
    (
        counterexamples.test_13_a_late_periodic_commit_overwrites_the_final_one,
        mutations.commits_beside_a_commit_in_flight,
    ),
    (
        counterexamples.test_the_end_of_a_stream_without_a_run_is_not_left_out_of_the_last_commit,
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
    with pytest.raises(AssertionError):
        counterexample()


def test_every_counterexample_is_proved_able_to_fail() -> None:
    tests = {value for name, value in vars(counterexamples).items() if name.startswith("test_")}
    assert {counterexample for counterexample, _ in BY_HAND} == tests


def test_every_fault_is_caught() -> None:
    defined = inspect.getmembers(mutations, inspect.isfunction)
    faults = {fault for _, fault in defined if fault.__module__ == mutations.__name__}
    caught = {mutation for _, mutation, _ in CAUGHT} | {mutation for _, mutation in BY_HAND}
    assert faults == caught


def test_fewer_maps_do_not_fit_when_a_nearly_full_one_holds_back_what_would_make_it_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No guarantee depends on it: the bookmark finds what the map does not say, only slower."""
    seeds = [seed for seed in range(0, 150, 2) if full(World(seed))]
    held_back = sum(_did_not_fit(seed) for seed in seeds)
    monkeypatch.setattr("penstock.core.partition.FULL", 10**6)
    assert 0 < 1.5 * held_back < sum(_did_not_fit(seed) for seed in seeds)


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
