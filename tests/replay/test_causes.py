"""Why, and when."""

from penstock.replay.causes import DAY, HOUR, Causes

NOON = 1_795_867_200
"""2026-11-28T12:00:00Z."""


def test_they_are_counted_by_the_hour_of_utc_without_a_gap() -> None:
    causes = Causes()
    for minutes in (1, 59, 60, 180):
        causes.add("UPSTREAM", "timeout", NOON + 60 * minutes)
    causes.add("ANSWER", "unparsable_answer", NOON + 90 * 60)
    often, seldom = causes
    assert (often.code, often.total, often.first, often.last) == (
        "timeout", 4, NOON + 60, NOON + 10_800,
    )  # fmt: skip
    seconds, begins = causes.buckets()
    assert (seconds, list(begins)) == (HOUR, [NOON + HOUR * n for n in range(4)])
    assert [often.within(begin, seconds) for begin in begins] == [2, 1, 0, 1]
    assert [seldom.within(begin, seconds) for begin in begins] == [0, 1, 0, 0]
    assert causes.total == 5


def test_of_more_than_two_days_by_the_day() -> None:
    causes = Causes()
    for hours in (0, 11, 12, 47):
        causes.add("RECORD", "not_json", NOON + HOUR * hours)
    assert causes.buckets().seconds == HOUR
    causes.add("RECORD", "not_json", NOON + HOUR * 48)
    seconds, begins = causes.buckets()
    [cause] = causes
    assert seconds == DAY
    assert [cause.within(begin, seconds) for begin in begins] == [2, 1, 2]


def test_of_nothing_there_is_nothing() -> None:
    assert (len(Causes()), list(Causes().buckets().begins)) == (0, [])
