"""A claim holds for one record: that with the same offset and timestamp."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.claims import Claims


def test_nothing_is_claimed_at_first() -> None:
    claims = Claims(7, 100)
    assert claims.claimed_end == 7
    assert not claims.hold(7, 0)


def test_a_claim_holds_for_that_record_only() -> None:
    claims = Claims(7, 100)
    claims.add(9, 1_000)
    assert claims.hold(9, 1_000)
    assert not claims.hold(9, 1_001)
    assert not claims.hold(8, 1_000)
    assert not claims.hold(10, 1_000)
    assert claims.claimed_end == 10


def test_the_later_one_in_the_log_wins() -> None:
    claims = Claims(0, 100)
    claims.add(3, 1_000)
    claims.add(3, 2_000)
    assert not claims.hold(3, 1_000)
    assert claims.hold(3, 2_000)


def test_what_the_commit_covers_is_of_no_interest() -> None:
    claims = Claims(7, 100)
    claims.add(6, 1_000)
    claims.add(0, 1_000)
    assert claims.claimed_end == 7
    assert not claims.hold(6, 1_000)
    assert not claims.hold(0, 1_000)


@pytest.mark.parametrize("timestamp", [-1, 0])
def test_a_record_without_a_time_can_be_claimed_and_does_not_claim_its_neighbours(
    timestamp: int,
) -> None:
    claims = Claims(0, 100)
    claims.add(2, timestamp)
    assert claims.hold(2, timestamp)
    assert not any(claims.hold(offset, timestamp) for offset in (-1, 0, 1, 3))


def test_where_the_log_ends_claims_end() -> None:
    """However far a completion of another log, or none of ours, points."""
    claims = Claims(7, 9)
    for offset in (9, 10, 10**18):
        claims.add(offset, 1_000)
    assert claims.claimed_end == 7
    claims.add(8, 1_000)
    assert claims.claimed_end == 9
    assert [claims.hold(offset, 1_000) for offset in (7, 8, 9, 10)] == [False, True, False, False]


def test_an_empty_log_holds_no_claims() -> None:
    claims = Claims()
    claims.add(0, 1_000)
    assert not claims.hold(0, 1_000)


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10),
    st.lists(st.tuples(st.integers(-3, 30), st.integers(-1, 3)), max_size=40),
    st.integers(0, 40),
)
def test_it_agrees_with_a_dictionary(start: int, said: list[tuple[int, int]], end: int) -> None:
    claims, naive = Claims(start, end), dict[int, int]()
    for offset, timestamp in said:
        claims.add(offset, timestamp)
        if start <= offset < end:
            naive[offset] = timestamp
    assert claims.claimed_end == max(naive, default=start - 1) + 1
    for offset in range(-4, 42):
        for timestamp in range(-1, 4):
            assert claims.hold(offset, timestamp) == (naive.get(offset) == timestamp)


def test_it_counts_them() -> None:
    claims = Claims(7, 100)
    for offset in (7, 9, 12):
        claims.add(offset, 1_000)
    assert [claims.count(0, end) for end in (0, 7, 8, 12, 13, 200)] == [0, 0, 1, 2, 3, 3]
    assert [claims.count(start, 200) for start in (7, 8, 13)] == [3, 2, 0]
