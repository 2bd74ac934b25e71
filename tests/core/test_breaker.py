"""Shut where calls fail or the provider wants no more, and open again when one call is answered."""

import pytest

from penstock.core.breaker import Breaker, BreakerPolicy, Cause
from penstock.core.facts import RecordId

POLICY = BreakerPolicy(failures=3, ratio=0.5, calls=8, window=30, probe=5)


def call(number: int) -> RecordId:
    return RecordId(0, 1, number)


def breaker(policy: BreakerPolicy = POLICY) -> Breaker:
    return Breaker(policy)


def failing(now: float = 0, policy: BreakerPolicy = POLICY) -> Breaker:
    """Shut by failures at that moment."""
    one = breaker(policy)
    for number in range(policy.failures):
        one.failed(call(number), now)
    assert one.cause is Cause.FAILING
    return one


def probes(one: Breaker, now: float, number: int = 9) -> RecordId:
    assert one.may_start(now)
    one.started(call(number))
    return call(number)


# --- open ---------------------------------------------------------------------------------------


def test_it_is_open_at_first_and_says_nothing_of_a_time() -> None:
    one = breaker()
    assert (one.cause, one.may_start(0), one.next_at()) == (None, True, None)


def test_so_many_failures_shut_it_and_one_fewer_does_not() -> None:
    one = breaker()
    one.failed(call(0), 0)
    one.failed(call(1), 1)
    assert one.may_start(1)
    one.failed(call(2), 2)
    assert (one.cause, one.may_start(2), one.next_at()) == (Cause.FAILING, False, 7)


def test_so_many_in_a_row_shut_it_however_well_it_was_before() -> None:
    one = breaker(BreakerPolicy(failures=3, ratio=0.5, calls=64))
    for number in range(60):
        one.succeeded(call(number), 0)
    one.failed(call(60), 0)
    one.failed(call(61), 0)
    assert one.cause is None
    one.failed(call(62), 0)
    assert one.cause is Cause.FAILING


def test_however_long_they_took() -> None:
    one = breaker()
    for number in range(3):
        one.failed(call(number), 1_000 * number)
    assert one.cause is Cause.FAILING


def test_failures_that_are_few_among_the_calls_do_not_shut_it() -> None:
    one = breaker(BreakerPolicy(failures=3, ratio=0.5, calls=64))
    for number in range(3):
        one.succeeded(call(number), 0)
    one.failed(call(3), 0)
    one.failed(call(4), 0)
    one.succeeded(call(5), 0)
    one.succeeded(call(6), 0)
    one.failed(call(7), 0)
    assert one.cause is None
    for number in (8, 9):
        one.failed(call(number), 0)
    assert one.cause is Cause.FAILING


def test_what_is_older_than_the_window_does_not_count() -> None:
    one = breaker()
    one.failed(call(0), 0)
    one.failed(call(1), 10)
    one.succeeded(call(2), 20)
    one.failed(call(3), 30.5)
    assert one.cause is None
    one.failed(call(4), 31)
    assert one.cause is Cause.FAILING


def test_only_the_last_calls_count() -> None:
    one = breaker()
    for number in range(2):
        one.failed(call(number), 0)
    for number in range(8):
        one.succeeded(call(number), 0)
    for number in range(2):
        one.failed(call(number), 0)
    assert one.cause is None
    assert len(one._last) == 8


def test_successes_of_before_the_window_do_not_hide_failures() -> None:
    one = breaker()
    for number in range(5):
        one.succeeded(call(number), 0)
    for number in range(3):
        one.failed(call(number), 31)
    assert one.cause is Cause.FAILING


# --- shut, and half open ------------------------------------------------------------------------


def test_then_one_call_finds_out_and_no_second_meanwhile() -> None:
    one = failing(0)
    assert not one.may_start(4.9)
    probes(one, 5)
    assert not one.may_start(5)
    assert not one.may_start(500)
    assert one.next_at() is None


def test_its_first_token_opens_it_to_all() -> None:
    one = failing(0)
    probe = probes(one, 5)
    one.answers(probe, 6)
    assert (one.cause, one.may_start(6)) == (None, True)


def test_so_does_its_end() -> None:
    one = failing(0)
    one.succeeded(probes(one, 5), 6)
    assert one.cause is None


def test_where_answers_broke_off_a_first_token_tells_nothing() -> None:
    one = breaker()
    for number in range(3):
        one.failed(call(number), 0, answered=True)
    probe = probes(one, 5)
    one.answers(probe, 6)
    assert (one.cause, one.may_start(6)) == (Cause.FAILING, False)
    one.failed(probe, 7, answered=True)
    probe = probes(one, 12)
    one.answers(probe, 13)
    one.succeeded(probe, 20)
    assert one.cause is None


def test_where_the_last_probe_had_no_answer_a_first_token_tells_it_again() -> None:
    one = breaker()
    for number in range(3):
        one.failed(call(number), 0, answered=True)
    one.failed(probes(one, 5), 6)
    one.answers(probes(one, 11), 12)
    assert one.cause is None


def test_who_has_failed_to_find_out_is_known_until_another_call_fails() -> None:
    one = failing(0)
    assert one.in_vain is None
    one.failed(probes(one, 5, 7), 6)
    assert one.in_vain == call(7)
    one.limited(call(8), until=7)
    assert one.in_vain is None


def test_a_failure_of_it_shuts_it_for_as_long_again() -> None:
    one = failing(0)
    one.failed(probes(one, 5), 8)
    assert (one.cause, one.next_at()) == (Cause.FAILING, 13)
    probes(one, 13)


def test_opened_it_counts_anew() -> None:
    one = failing(0)
    one.succeeded(probes(one, 5), 6)
    for number in range(2):
        one.failed(call(number), 7)
    assert one.cause is None
    one.failed(call(2), 7)
    assert one.cause is Cause.FAILING


def test_a_probe_that_fails_behind_its_first_token_is_a_failure_among_others() -> None:
    one = failing(0)
    probe = probes(one, 5)
    one.answers(probe, 6)
    one.failed(probe, 7)
    assert one.cause is None


@pytest.mark.parametrize("what", ["answers", "succeeded", "failed"])
def test_calls_from_before_it_was_shut_do_not_decide(what: str) -> None:
    one = breaker()
    for number in range(50, 60):
        one.started(call(number))
    for number in range(50, 53):
        one.failed(call(number), 0)
    for number in range(53, 57):
        getattr(one, what)(call(number), 4)
    assert (one.cause, one.next_at()) == (Cause.FAILING, 5)
    probes(one, 5)
    getattr(one, what)(call(57), 6)
    assert one.cause is Cause.FAILING
    assert not one.may_start(600)


def test_where_a_probe_tells_nothing_another_one_finds_out() -> None:
    one = failing(0)
    one.unclear(probes(one, 5))
    assert one.cause is Cause.FAILING
    assert one.next_at() == 5
    one.succeeded(probes(one, 6, number=10), 7)
    assert one.cause is None


def test_who_tells_nothing_and_is_no_probe_changes_nothing() -> None:
    one = failing(0)
    probes(one, 5)
    one.unclear(call(50))
    assert not one.may_start(6)


# --- the provider wants no more -----------------------------------------------------------------


def test_it_is_shut_until_the_provider_wants_calls_again_and_then_one_finds_out() -> None:
    one = breaker()
    one.limited(call(0), until=20)
    assert (one.cause, one.may_start(19), one.next_at()) == (Cause.RATE_LIMITED, False, 20)
    one.succeeded(probes(one, 20), 21)
    assert (one.cause, one.may_start(21)) == (None, True)


def test_that_is_no_failure() -> None:
    one = breaker()
    for number in range(9):
        one.limited(call(number), until=1)
    one.succeeded(probes(one, 1), 1)
    for number in range(2):
        one.failed(call(number), 2)
    assert one.cause is None


def test_the_latest_of_several_moments_counts() -> None:
    one = breaker()
    one.limited(call(0), until=20)
    one.limited(call(1), until=10)
    assert one.next_at() == 20
    one.limited(call(2), until=30)
    assert one.next_at() == 30


def test_a_failing_model_that_wants_to_be_left_alone_is() -> None:
    one = failing(0)
    one.limited(call(9), until=60)
    assert (one.cause, one.next_at()) == (Cause.FAILING, 60)


def test_a_probe_that_fails_does_not_shorten_the_wait() -> None:
    one = failing(0)
    probe = probes(one, 5)
    one.limited(call(50), until=60)
    one.failed(probe, 6)
    assert one.next_at() == 60


def test_a_probe_that_is_answered_meanwhile_does_not_open_it_either() -> None:
    one = failing(0)
    probe = probes(one, 5)
    one.limited(call(50), until=60)
    one.answers(probe, 6)
    assert (one.cause, one.next_at()) == (Cause.FAILING, 60)
    assert not one.may_start(59)
    one.succeeded(probes(one, 60, number=10), 61)
    assert one.cause is None


def test_a_probe_may_be_told_to_wait() -> None:
    one = failing(0)
    one.limited(probes(one, 5), until=9)
    assert one.next_at() == 9
    probes(one, 9)


# --- whom to ask with ---------------------------------------------------------------------------


def test_after_1_2_4_and_8_probes_in_vain_it_doubts_those_who_asked() -> None:
    one = failing(0)
    doubts = []
    for number in range(9):
        doubts.append(one.doubts)
        now = one.until
        one.failed(probes(one, now, number), now)
    assert [number for number, doubt in enumerate(doubts) if doubt] == [1, 2, 4, 8]


def test_a_probe_that_is_refused_is_in_vain_too() -> None:
    one = breaker()
    one.limited(call(0), until=1)
    assert not one.doubts
    one.limited(probes(one, 1), until=2)
    assert one.doubts


def test_who_tells_nothing_has_not_asked_in_vain() -> None:
    one = failing(0)
    one.unclear(probes(one, 5))
    one.failed(call(50), 6)
    one.limited(call(51), until=6)
    assert not one.doubts


def test_opened_it_doubts_nobody() -> None:
    one = failing(0)
    one.failed(probes(one, 5), 5)
    one.answers(probes(one, 10), 10)
    assert not one.doubts
    for number in range(3):
        one.failed(call(number), 11)
    assert not one.doubts
