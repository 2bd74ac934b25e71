"""Which words differ."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.replay.word_diff import WORDS, word_diff


def shown(before: str, after: str) -> str:
    marks = {"same": "{}", "gone": "[-{}]", "new": "[+{}]"}
    return "".join(marks[piece.kind].format(piece.text) for piece in word_diff(before, after))


@pytest.mark.parametrize(
    ("before", "after", "diff"),
    [
        ("same", "same", "same"),
        ("", "", ""),
        ("gone", "", "[-gone]"),
        ("", "new", "[+new]"),
        ("It is Paris.", "It is Lyon.", "It is [-Paris][+Lyon]."),
        ("the red fox jumps", "a blue dog jumps", "[-the red fox][+a blue dog] jumps"),
        ("東京は日本の首都です", "京都は日本の首都です", "[-東]京[+都]は日本の首都です"),
        ("a  b", "a b", "a[-  ][+ ]b"),
    ],
)
def test_what_differs(before: str, after: str, diff: str) -> None:
    assert shown(before, after) == diff


texts = st.text(st.sampled_from("ab ,\n東"), max_size=60) | st.text(max_size=30)


@given(texts, texts)
def test_both_texts_can_be_read_from_it(before: str, after: str) -> None:
    pieces = word_diff(before, after)
    assert "".join(piece.text for piece in pieces if piece.kind != "new") == before
    assert "".join(piece.text for piece in pieces if piece.kind != "gone") == after
    assert all(piece.text for piece in pieces)


def test_beyond_so_many_words_there_is_one() -> None:
    long = "one two " * WORDS
    pieces = word_diff(f"{long}before", f"{long}after")
    assert [piece.kind for piece in pieces] == ["same", "gone", "new"]
    assert pieces[1].text.endswith("before")
    assert "".join(piece.text for piece in pieces if piece.kind != "new") == f"{long}before"
