"""What a commit says beside the offset: golden strings, and what is not ours."""

import random

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.core.bookmark import Bookmark
from penstock.core.facts import Head
from penstock.core.handover import Run, letters
from penstock.core.offset_map import BITS, RUNS, DoneBeyond, encode, gaps, to_text
from penstock.kafka import metadata
from penstock.kafka.metadata import ForeignError, LastCommit, LaterVersionError

WRITER = "0123456789ab"

NOTHING = DoneBeyond(100)
FEW = DoneBeyond(100, ((101, 103), (110, 111)))
FAR = DoneBeyond(100, ((101, 103), (50_000, 50_011)))

SENT_AT, READ_AT = 1_000.0, 50.0
"""Two clocks."""

GOLDEN = [
    (
        LastCommit(NOTHING, WRITER, Bookmark(0, 1), clean=True),
        '{"penstock":1,"writer":"0123456789ab","done":"","bookmark":[0,1],"clean":true,"runs":[]}',
    ),
    (
        LastCommit(FEW, WRITER, Bookmark(41, 6), clean=False),
        (
            '{"penstock":1,"writer":"0123456789ab","done":"b1_S","bookmark":[41,6],'
            '"clean":false,"runs":[]}'
        ),
    ),
    (
        LastCommit(FAR, WRITER, Bookmark(41, 6), clean=True),
        (
            '{"penstock":1,"writer":"0123456789ab","done":"r0RriT0}B","bookmark":[41,6],'
            '"clean":true,"runs":[]}'
        ),
    ),
]
"""Of version 1. Members of different releases share a group."""

HANDED_OVER = (
    Run(100, "ba9876543210", SENT_AT + 3.25),
    Run(103, WRITER, SENT_AT + 600),
    Run(40_000, WRITER, SENT_AT - 100),
)
GOLDEN_WITH_RUNS = (
    '{"penstock":2,"writer":"0123456789ab","done":"b1_S","bookmark":[41,6],"clean":true,'
    '"runs":{"ba9876543210":"03i","0123456789ab":"1Mn`{w*mk"}}'
)
"""Of version 2: by runner, what it still has, and for how long."""


@pytest.mark.parametrize(("last", "text"), GOLDEN)
def test_it_is_written_as_it_always_was(last: LastCommit, text: str) -> None:
    head = Head(last.done.committed, encode(last.done), last.bookmark, last.clean)
    assert metadata.write(head, WRITER, SENT_AT) == text


@pytest.mark.parametrize(("last", "text"), GOLDEN)
def test_it_is_read_as_it_always_was(last: LastCommit, text: str) -> None:
    assert metadata.read(last.done.committed, text, READ_AT) == last


def test_running_work_is_written_as_it_always_was() -> None:
    head = Head(100, encode(FEW), Bookmark(41, 6), clean=True, runs=HANDED_OVER)
    assert metadata.write(head, WRITER, SENT_AT) == GOLDEN_WITH_RUNS


def test_running_work_is_read_as_it_always_was() -> None:
    runs = (
        Run(100, "ba9876543210", READ_AT + 3.3),
        Run(103, WRITER, READ_AT + 600),
        Run(40_000, WRITER, READ_AT),
    )
    last = LastCommit(FEW, WRITER, Bookmark(41, 6), clean=True, runs=runs)
    assert metadata.read(100, GOLDEN_WITH_RUNS, READ_AT) == last


@pytest.mark.parametrize(("runs", "version"), [((), 1), (HANDED_OVER, 2)])
def test_only_a_commit_that_names_running_work_is_of_a_version_that_the_release_before_refuses(
    runs: tuple[Run, ...], version: int
) -> None:
    """It knows version 1 and would start what still runs; one of version 2 it waits for."""
    text = metadata.write(Head(100, "", Bookmark(0, 1), clean=True, runs=runs), WRITER, SENT_AT)
    assert orjson.loads(text)["penstock"] == version


@pytest.mark.parametrize("version", ["1", "2"])
def test_what_a_later_release_says_beside_it_is_no_matter(version: str) -> None:
    text = (
        f'{{"more":[1],"penstock":{version},"writer":"w","done":"b1_S","bookmark":[41,6],'
        '"clean":true,"runs":[]}'
    )
    assert metadata.read(100, text, READ_AT) == LastCommit(FEW, "w", Bookmark(41, 6), clean=True)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**62),
    st.sets(st.integers(0, 300)),
    st.integers(0, 2**63 - 1),
    st.integers(1, 2**31 - 1),
    st.booleans(),
)
def test_what_is_written_is_read(
    committed: int, waiting: set[int], position: int, partitions: int, clean: bool
) -> None:
    outstanding = sorted(committed + offset for offset in waiting)
    done = DoneBeyond(committed, tuple(gaps(committed, outstanding, committed + 301)))
    bookmark = Bookmark(position, partitions)
    text = metadata.write(Head(committed, encode(done), bookmark, clean), WRITER, SENT_AT)
    assert metadata.read(committed, text, READ_AT) == LastCommit(done, WRITER, bookmark, clean)


# --- what is not ours ---------------------------------------------------------------------------


def said(**other: str) -> str:
    """Ours, but for these fields, which are JSON."""
    fields = {
        "penstock": "1",
        "writer": '"w"',
        "done": '""',
        "bookmark": "[41,6]",
        "clean": "true",
        "runs": "[]",
    } | other
    return "{" + ",".join(f'"{name}":{value}' for name, value in fields.items() if value) + "}"


def test_the_frame_of_the_refusals_is_ours() -> None:
    assert metadata.read(100, said(), READ_AT).bookmark == Bookmark(41, 6)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "{}",
        "[]",
        "null",
        "1",
        '"penstock"',
        '{"penstock"',
        # Other programs of this trade: parallel-consumer, Debezium, Flink, and ourselves of old.
        "YZZdAAAAAABAAw==",
        '{"connector":"orders","lsn":123}',
        '{"v":1,"done":"b1_S"}',
        "NO_METADATA",
        "\N{GREEK SMALL LETTER ALPHA}\N{PILE OF POO}",
        "\ud800",
        "[" * 5_000,
    ],
)
def test_what_another_program_wrote_is_foreign(text: str) -> None:
    with pytest.raises(ForeignError):
        metadata.read(100, text, READ_AT)


@pytest.mark.parametrize(
    "other",
    [
        {"done": '"x00"'},
        {"done": '"r00"'},
        {"done": '"r~~~"'},
        {"done": '"b\\u03b1"'},
        {"done": "7"},
        {"done": '["r","0"]'},
        {"done": ""},
        {"bookmark": ""},
        {"bookmark": "41"},
        {"bookmark": "[41]"},
        {"bookmark": "[41,6,7]"},
        {"bookmark": '["a",6]'},
        {"bookmark": "[null,6]"},
        {"bookmark": "{}"},
        {"writer": ""},
        {"clean": ""},
        {"runs": ""},
        {"runs": "7"},
        {"runs": "null"},
        {"runs": "true"},
        {"runs": '"w"'},
        {"runs": '[[3,"w",900]]'},
        {"runs": '["wrong"]'},
        {"runs": '{"w":7}'},
        {"runs": '{"w":null}'},
        {"runs": '{"w":["1Mn"]}'},
        # Half a run, a number without an end, no base 85.
        {"runs": '{"w":"1p"}'},
        {"runs": '{"w":"1%L"}'},
        {"runs": '{"w":"\\u03b1"}'},
        {"runs": '{"w":"~~~~~"}'},
    ],
)
@pytest.mark.parametrize("version", ["1", "2"])
def test_what_only_looks_like_ours_is_foreign_too(other: dict[str, str], version: str) -> None:
    with pytest.raises(ForeignError, match="looks like ours"):
        metadata.read(100, said(penstock=version, **other), READ_AT)


def test_a_run_without_end_is_foreign_too() -> None:
    """Nobody writes a number of hundreds of digits."""
    for_ever = to_text(bytes([5, *[0xFF] * 160, 1]))
    with pytest.raises(ForeignError, match="looks like ours"):
        metadata.read(100, said(penstock="2", runs=f'{{"w":"{for_ever}"}}'), READ_AT)


def test_an_empty_one_says_that_it_is_empty() -> None:
    """An operator resets offsets like that."""
    with pytest.raises(ForeignError, match=r"^empty$"):
        metadata.read(100, "", READ_AT)


@pytest.mark.parametrize("version", ["3", "99", "0", '"1"', '"2"', "null"])
def test_one_of_another_version_is_ours_and_cannot_be_read(version: str) -> None:
    with pytest.raises(LaterVersionError):
        metadata.read(100, f'{{"penstock":{version},"all":"is different"}}', READ_AT)


@pytest.mark.parametrize("clean", ["false", "null", "1", '"true"'])
def test_only_a_plain_yes_is_clean(clean: str) -> None:
    assert not metadata.read(100, said(clean=clean), READ_AT).clean


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=40), st.sampled_from(["{}", "[]", "done", "bookmark", "penstock", "1"]))
def test_whatever_stands_there_it_is_read_or_refused(text: str, also: str) -> None:
    for whole in (
        text,
        text + also,
        said(done=f'"{also}{text}"'),
        said(bookmark=f"[{also},1]"),
        said(penstock="2", runs=f'{{"w":"{text}"}}'),
        said(penstock="2", runs=f'{{"{text}":{also}}}'),
    ):
        try:
            metadata.read(100, whole, READ_AT)
        except (ForeignError, LaterVersionError) as error:
            assert str(error)  # noqa: PT017 - there may be none


# --- how long is it? ----------------------------------------------------------------------------


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**63 - 1),
    st.text("0123456789abcdef", min_size=12, max_size=12),
    st.integers(0, 2**63 - 1),
    st.integers(0, 2**31 - 1),
    st.booleans(),
    st.text("0aZ!#$%&()*+-;<=>?@^_`{|}~", max_size=200),
)
def test_around_the_map_there_is_no_more_than_the_overhead(
    offset: int, writer: str, position: int, partitions: int, clean: bool, done: str
) -> None:
    text = metadata.write(
        Head(offset, done, Bookmark(position, partitions), clean), writer, SENT_AT
    )
    assert len(text.encode()) <= len(done) + metadata.OVERHEAD


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 2**62),
    st.dictionaries(
        st.tuples(st.integers(0, 2**40), st.text("0123456789abcdef", min_size=12, max_size=12)),
        st.integers(0, 10**6),
        max_size=9,
    ),
)
def test_running_work_takes_as_many_letters_as_are_said(
    offset: int, left: dict[tuple[int, str], int]
) -> None:
    runs = tuple(
        Run(offset + beyond, runner, SENT_AT + seconds)
        for (beyond, runner), seconds in left.items()
    )
    head = Head(offset, "", Bookmark(2**63 - 1, 2**31 - 1), clean=False, runs=runs)
    text = metadata.write(head, WRITER, SENT_AT)
    assert len(text.encode()) <= metadata.OVERHEAD + letters(runs, offset, SENT_AT)


def test_the_highest_numbers_of_all_fit_too() -> None:
    head = Head(2**63 - 1, "", Bookmark(2**63 - 1, 2**31 - 1), clean=False)
    assert len(metadata.write(head, WRITER, SENT_AT).encode()) <= metadata.OVERHEAD


def outstanding(dice: random.Random, done: int, of: int) -> list[int]:
    finished = set(dice.sample(range(1, of), done))
    return [offset for offset in range(of) if offset not in finished]


def test_half_of_four_thousand_at_random_take_700_bytes() -> None:
    done = DoneBeyond(0, tuple(gaps(0, outstanding(random.Random(1), 2_000, 4_000), 4_000)))
    half = encode(done)
    assert half[0] == BITS
    assert len(half) <= 700
    text = metadata.write(Head(0, half, Bookmark(2**40, 12)), WRITER, SENT_AT)
    # Nothing of it needs an escape.
    assert len(text.encode()) <= 700 + metadata.OVERHEAD
    assert metadata.read(0, text, READ_AT).done == done


def test_a_few_that_are_stuck_take_48_bytes_however_many_went_by() -> None:
    stuck = [0, *sorted(random.Random(1).sample(range(1, 50_000), 4))]
    done = DoneBeyond(0, tuple(gaps(0, stuck, 50_000)))
    few = encode(done)
    assert few[0] == RUNS
    assert len(few) <= 48
    text = metadata.write(Head(0, few, Bookmark(2**40, 12)), WRITER, SENT_AT)
    assert metadata.read(0, text, READ_AT).done == done


def test_every_letter_of_a_map_is_one_byte() -> None:
    dice = random.Random(7)
    for _ in range(200):
        done = DoneBeyond(0, tuple(gaps(0, outstanding(dice, dice.randrange(60), 64), 64)))
        assert '"' not in encode(done)
        assert "\\" not in encode(done)
        bare = len(metadata.write(Head(0, "", Bookmark(0, 1)), WRITER, SENT_AT).encode())
        whole = metadata.write(Head(0, encode(done), Bookmark(0, 1)), WRITER, SENT_AT)
        assert len(whole.encode()) == bare + len(encode(done))
