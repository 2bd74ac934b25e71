"""Running work that another member finishes: how it is written, and how long it is waited for."""

import base64

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.handover import TICKS, Holds, Run, decode, encode, letters
from penstock.core.offset_map import leb128, to_text

MARGIN = 3

RUNNERS = st.sampled_from(("0123456789ab", "a", "b", "ab"))


def run(offset: int, until: float, runner: str = "a") -> Run:
    return Run(offset, runner, until)


# --- in a commit --------------------------------------------------------------------------------


def test_a_run_is_how_far_it_is_from_the_one_before_and_the_tenths_that_are_left() -> None:
    runs = [run(107, 13.5), run(105, 12), run(106, 70, "b")]
    assert encode(runs, 100, 10) == {
        "a": to_text(bytes([5, 20, 2, 35])),
        "b": to_text(bytes([6, *leb128(600)])),
    }


def test_what_is_left_is_counted_by_who_reads_it() -> None:
    """Another clock."""
    written = encode([run(105, 12.05)], 100, 10)
    assert list(decode(written, 100, 5_000)) == [run(105, 5_002.1)]


def test_a_run_whose_time_is_up_has_nothing_left_and_not_less() -> None:
    assert list(decode(encode([run(5, 10)], 0, 99), 0, 99)) == [run(5, 99)]


@settings(max_examples=300, deadline=None)
@given(
    st.integers(0, 2**62),
    st.dictionaries(st.tuples(st.integers(0, 2**40), RUNNERS), st.integers(0, 10**9), max_size=9),
    st.integers(0, 10**9),
    st.integers(0, 10**9),
    st.integers(0, 10**6),
)
def test_what_is_written_is_read_and_what_is_left_is_never_less(
    committed: int,
    wanted: dict[tuple[int, str], int],
    written_at: int,
    read_at: int,
    on_its_way: int,
) -> None:
    """Times in milliseconds; the two clocks have nothing to do with each other."""
    runs = {
        (committed + beyond, runner): (written_at + left) / 1_000
        for (beyond, runner), left in wanted.items()
    }
    text = encode(
        [Run(offset, runner, until) for (offset, runner), until in runs.items()],
        committed,
        written_at / 1_000,
    )
    now = (read_at + on_its_way) / 1_000
    found = {(offset, runner): until for offset, runner, until in decode(text, committed, now)}
    assert found.keys() == runs.keys()
    for one, until in found.items():
        left = runs[one] - written_at / 1_000
        # A clock has no more digits than that.
        assert left - 1e-5 <= until - now <= left + 1 / TICKS + 1e-5


def test_nobody_runs_anything_is_no_text() -> None:
    assert encode([], 7, 0) == {}
    assert list(decode({}, 7, 0)) == []
    assert letters([], 7, 0) == 0


@settings(max_examples=200, deadline=None)
@given(
    st.dictionaries(st.tuples(st.integers(0, 2**30), RUNNERS), st.integers(0, 10**5), max_size=9),
)
def test_the_letters_are_those_it_takes_in_the_commit(
    wanted: dict[tuple[int, str], int],
) -> None:
    runs = [Run(offset, runner, until) for (offset, runner), until in wanted.items()]
    written = encode(runs, 0, 0)
    said = "".join(f'"{runner}":"{text}",' for runner, text in written.items())
    assert letters(runs, 0, 0) == len(said)


@pytest.mark.parametrize(
    "text",
    [
        to_text(bytes([5])),
        to_text(bytes([5, 20, 2])),
        to_text(bytes([5, 0x80])),
        "\N{GREEK SMALL LETTER ALPHA}",
        '"',
        "~~~~~",
    ],
)
def test_what_was_never_written_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        list(decode({"a": text}, 100, 0))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=30))
def test_whatever_bytes_are_there_they_are_read_or_refused(data: bytes) -> None:
    try:
        found = list(decode({"a": base64.b85encode(data).decode()}, 100, 5))
    except ValueError:
        return
    assert all(one.offset >= 100 and one.until >= 5 for one in found)


# --- while it is waited for ---------------------------------------------------------------------


def holds(*runs: Run) -> Holds:
    return Holds(runs, 40, MARGIN)


def test_who_follows_waits_for_the_same() -> None:
    runs = (run(5, 100), run(7, 80, "b"))
    held = holds(*runs)
    assert held.entries() == runs
    assert len(held) == 2
    assert 5 in held
    assert 6 not in held


def test_what_is_done_is_not_waited_for() -> None:
    held = holds(run(5, 100), run(7, 80))
    assert held.done(5)
    assert not held.done(5)
    assert not held.done(6)
    assert held.entries() == (run(7, 80),)


def test_nothing_starts_before_its_time_and_the_margin_are_over() -> None:
    held = holds(run(5, 100), run(7, 80))
    assert held.read(50, 82.9) == []
    assert held.read(50, 83) == [run(7, 80)]
    assert held.entries() == (run(5, 100),)
    assert held.read(50, 102.9) == []
    assert held.read(50, 103) == [run(5, 100)]
    assert held.read(50, 999) == []
    assert not held


def test_it_knows_how_far_the_completions_are_read() -> None:
    held = holds(run(5, 100))
    assert held.position == 40
    held.read(60, 1)
    assert held.position == 60
    # Told again, for nobody was sure to have told it.
    held.read(50, 2)
    assert held.position == 60
