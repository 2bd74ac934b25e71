"""Which offsets are wanted, and how they are written down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import ConfigurationError
from penstock.replay.selection import Selection, read, these

offsets = st.sets(st.integers(10, 400), min_size=1)


@given(offsets, st.integers(0, 420), st.integers(0, 420))
def test_it_is_the_set_that_it_was_made_of(wanted: set[int], start: int, end: int) -> None:
    made = these(wanted)
    written = read(made.start, made.end, made.text)
    assert written == made
    assert {offset for offset in range(450) if offset in written} == wanted
    assert made.count() == len(wanted)
    assert made.count(start, end) == sum(start <= offset < end for offset in wanted)


def test_what_lies_side_by_side_needs_no_bits() -> None:
    assert these([7, 5, 6]) == Selection(5, 8)
    assert Selection(5, 8).count(6) == 2


def test_few_of_many_are_written_shortly() -> None:
    text = these([*range(0, 10_000_000, 100_000)]).text
    assert text is not None
    assert len(text) < 5_000


@pytest.mark.parametrize("text", ["", "no base 85 \x00", "00000"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read(0, 100, text)


def test_a_text_that_unpacks_to_more_is_not_whole() -> None:
    made = these([0, 99])
    with pytest.raises(ConfigurationError, match="not whole"):
        read(0, 10, made.text)
