"""How long a question would wait, and when it is better asked later."""

from penstock.gateway.backlog import Backlog


def looked(backlog: int, slots: int = 10, mean: float = 2.0) -> Backlog:
    found = Backlog()
    found.ended(mean)
    found.looked(backlog, slots)
    return found


def test_a_question_waits_for_those_before_it() -> None:
    # 10 run and 50 wait; each slot has 5 of them and ours after another, of 2 s each.
    assert looked(backlog=60).wait() == 51 * 2.0 / 10


def test_nothing_waits_where_a_slot_is_free() -> None:
    assert looked(backlog=9).wait() == 0.0


def test_what_was_asked_and_has_ended_since_the_last_look_counts() -> None:
    found = looked(backlog=60)
    for _ in range(20):
        found.asked()
    found.ended(None)
    assert found.wait() == (51 + 19) * 2.0 / 10


def test_who_does_not_know_lets_everybody_in() -> None:
    nobody_reports = looked(backlog=1_000, slots=0)
    nothing_has_ended = Backlog()
    nothing_has_ended.looked(1_000, 10)
    assert (nobody_reports.wait(), nothing_has_ended.wait()) == (0.0, 0.0)


def test_retry_after_is_when_the_wait_would_be_short_enough() -> None:
    found = looked(backlog=60)
    assert found.retry_after(at_most=10.2) is None
    assert found.retry_after(at_most=10.0) == 1
    assert found.retry_after(at_most=3.0) == 8


def test_the_mean_follows_slowly() -> None:
    found = Backlog()
    found.ended(1.0)
    found.ended(3.0)
    assert found.mean == 1.1
