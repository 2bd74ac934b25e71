"""May this member still speak for its partitions? As of when it sent what the group answered."""

import math

from penstock.core.lease import Lease, LeasePolicy

SESSION, REBALANCE, MARGIN = 100, 300, 3


def lease() -> Lease:
    return Lease(LeasePolicy(SESSION, REBALANCE, MARGIN))


def test_who_has_not_heard_from_the_group_may_say_nothing() -> None:
    assert lease().until == -math.inf


def test_it_lasts_a_session_from_the_sending_but_for_the_margin() -> None:
    held = lease()
    held.renewed(1_000, rebalancing=False)
    assert held.until == 1_000 + SESSION - MARGIN


def test_what_was_sent_later_lasts_longer() -> None:
    held = lease()
    for sent_at in (1_000, 1_050, 1_090):
        held.renewed(sent_at, rebalancing=False)
        assert held.until == sent_at + SESSION - MARGIN


def test_an_answer_to_something_sent_earlier_takes_nothing_away() -> None:
    held = lease()
    held.renewed(1_050, rebalancing=False)
    held.renewed(1_000, rebalancing=False)
    held.renewed(1_010, rebalancing=True)
    assert held.until == 1_050 + SESSION - MARGIN
    held.renewed(1_340, rebalancing=True)
    assert held.until == 1_050 + REBALANCE - MARGIN


def test_while_the_group_rebalances_its_answers_count_for_the_session() -> None:
    held = lease()
    held.renewed(1_000, rebalancing=False)
    held.renewed(1_080, rebalancing=True)
    assert held.until == 1_080 + SESSION - MARGIN


def test_but_not_for_longer_than_it_waits_for_us_to_join() -> None:
    """Then our partitions are others', whatever heartbeats are answered."""
    held = lease()
    held.renewed(1_000, rebalancing=False)
    for sent_at in range(1_010, 1_500, 10):
        held.renewed(sent_at, rebalancing=True)
        assert held.until == min(sent_at + SESSION, 1_000 + REBALANCE) - MARGIN
    assert held.until == 1_000 + REBALANCE - MARGIN


def test_a_confirmation_begins_that_time_anew() -> None:
    held = lease()
    held.renewed(1_000, rebalancing=False)
    held.renewed(1_290, rebalancing=True)
    held.renewed(1_295, rebalancing=False)
    assert held.until == 1_295 + SESSION - MARGIN


def test_without_any_confirmation_a_rebalance_gives_nothing() -> None:
    held = lease()
    held.renewed(1_000, rebalancing=True)
    assert held.until == -math.inf
