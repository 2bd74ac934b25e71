"""The grammar of ranges: that of kcat, rpk and Kafka's own tools."""

import pytest

from penstock.errors import ConfigurationError
from penstock.events.envelope import rfc3339
from penstock.replay.bounds import At, Beginning, Bound, End, Last, Since, duration, parse, when

NOON = 1_795_867_200.0
"""2026-11-28T12:00:00Z."""


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("beginning", Beginning(), End()),
        ("earliest", Beginning(), End()),
        ("END", End(), End()),
        ("42", At(42), End()),
        ("-42", Last(42), End()),
        ("10:20", At(10), At(20)),
        (":20", Beginning(), At(20)),
        ("10:", At(10), End()),
        ("-20:-10", Last(20), Last(10)),
        ("@1795867200", Since(NOON), End()),
        ("@1795867200000", Since(NOON), End()),
        ("s@1795867200000", Since(NOON), End()),
        ("e@1795867200000", Beginning(), Since(NOON)),
        ("@2026-11-28", Since(NOON - 43_200), End()),
        ("@2026-11-28T12:00:00", Since(NOON), End()),
        ("@2026-11-28T13:00:00+01:00", Since(NOON), End()),
        ("@2026-11-28T12:00:00Z:@2026-11-28T12:00:01.500Z", Since(NOON), Since(NOON + 1.5)),
        ("@2026-11-28T12:00:5", Since(NOON), At(5)),
        ("@-1h:@-30m", Since(NOON - 3600), Since(NOON - 1800)),
        ("@-PT1H30M", Since(NOON - 5400), End()),
        ("100:@-1m", At(100), Since(NOON - 60)),
    ],
)
def test_what_is_meant(text: str, start: Bound, end: Bound) -> None:
    assert parse(text, NOON) == (start, end)


@pytest.mark.parametrize(
    "text", ["", "x", "1:2:3", "@", "@tomorrow", "1.5", "--1", "@-1y", "9" * 19]
)
def test_what_is_none_is_said_on_one_line(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^--offset [^\n]*: is none[^\n]*42[^\n]*$"):
        parse(text, NOON)


def test_durations() -> None:
    assert duration("PT1H") == duration("1h") == duration("60m") == 3600
    assert duration("1d2h3m4s5ms") == 93_784.005
    for nothing in ("", "1", "h", "1h ", "P", "one hour"):
        with pytest.raises(ValueError, match="no duration"):
            duration(nothing)


def test_a_moment_of_kafkas_tools_is_in_utc() -> None:
    assert when("2026-11-28T12:00:00.000", 0) == NOON


def test_a_moment_can_always_be_written_down() -> None:
    for text in ("-9999999d", f"-{'9' * 400}d", "0001-01-01T00:00+14:00"):
        assert when(text, NOON) == 0
    assert rfc3339(when("9999-12-31T23:59:59-14:00", NOON)) == "9999-12-31T23:59:59.000Z"
