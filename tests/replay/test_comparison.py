"""What has become of an answer."""

from typing import Any

import pytest

from penstock.replay.comparison import OUTCOMES, Compared, compare
from penstock.replay.figures import Figures


def said(status: str = "completed", **outputs: Any) -> dict[str, Any]:
    return {"status": status, "outputs": outputs}


@pytest.mark.parametrize(
    ("original", "replay", "outcome"),
    [
        (said(a="x"), said(a="x"), "equal"),
        (said(a="x"), said(a="y"), "changed"),
        (said(a="x"), said("failed"), "newly_failed"),
        (said(a="x"), said("expired"), "newly_failed"),
        (said("failed"), said(a="x"), "newly_fixed"),
        (said("expired", a="so far"), said(a="so far"), "newly_fixed"),
        (said("failed"), said("expired"), "both_failed"),
        (None, said(a="x"), "original_unanswered"),
        (said("cancelled"), said(a="x"), "original_unanswered"),
        (said("duplicate"), said("failed"), "original_unanswered"),
        (said(a="x"), None, None),
        (said(a="x"), said("cancelled"), None),
        (None, None, None),
        ({"status": ["completed"]}, {"status": {}}, None),
    ],
)
def test_what_has_become_of_it(original: Any, replay: Any, outcome: str | None) -> None:
    found = compare(original, replay)
    assert (None if found is None else found[0]) == outcome
    assert outcome is None or outcome in OUTCOMES


@pytest.mark.parametrize(
    ("before", "after", "fields"),
    [
        ({"a": "x"}, {"a": "  x\n"}, ()),
        ({"a": ["x ", {"b": " y"}]}, {"a": ["x", {"b": "y"}]}, ()),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 2, "b": 1}}, ()),
        ({"a": "x y"}, {"a": "x  y"}, ("a",)),
        ({"a": "x"}, {"a": "X"}, ("a",)),
        ({"a": True}, {"a": 1}, ("a",)),
        ({"a": "1"}, {"a": 1}, ("a",)),
        ({"a": [1, 2]}, {"a": [2, 1]}, ("a",)),
        ({"a": None}, {}, ("a",)),
        ({"a": "x", "b": "1"}, {"b": "2", "a": "x", "c": "3"}, ("b", "c")),
    ],
)
def test_which_outputs_differ(
    before: dict[str, Any], after: dict[str, Any], fields: tuple[str, ...]
) -> None:
    outcome = "changed" if fields else "equal"
    assert compare(said(**before), said(**after)) == (outcome, fields)


def test_only_the_outputs_that_are_wanted_count() -> None:
    one, other = said(answer="x", reasoning="short"), said(answer="x", reasoning="long")
    assert compare(one, other) == ("changed", ("reasoning",))
    assert compare(one, other, ["answer"]) == ("equal", ())


def compared(outcome: Any, before: float | None, after: float | None, tokens: int = 1) -> Compared:
    def side(ends: bool, duration: float | None, used: int) -> dict[str, Any]:
        return {
            "status": "completed" if ends else "failed",
            "timing": {"duration_ms": duration, "first_token_ms": None},
            "usage": {"prompt_tokens": used, "completion_tokens": 0, "total_tokens": used},
            "program": {"name": "qa", "version": str(used)},
        }

    original = (
        None
        if outcome == "original_unanswered"
        else side(outcome in {"equal", "changed", "newly_failed"}, before, 1)
    )
    replay = side(outcome in {"equal", "changed", "newly_fixed"}, after, tokens)
    return Compared(0, 0, {}, original, replay, outcome)


def test_like_is_compared_with_like() -> None:
    figures = Figures()
    for number in range(1, 11):
        figures.add(compared("equal", number, number * 2, tokens=3))
    figures.add(compared("changed", 1, None))
    figures.add(compared("newly_failed", 1000, 9000, tokens=8))
    figures.add(compared("original_unanswered", None, 9000, tokens=1000))
    summary = figures.summary()
    assert summary["questions"] == 13
    assert summary["outcomes"] == {
        "changed": 1,
        "newly_failed": 1,
        "newly_fixed": 0,
        "both_failed": 0,
        "original_unanswered": 1,
        "equal": 10,
    }
    assert summary["duration_ms"] == {
        "questions": 10,
        "original": {"p50": 5, "p90": 9, "mean": 5.5},
        "replay": {"p50": 10, "p90": 18, "mean": 11},
    }
    assert summary["first_token_ms"]["original"] == {"p50": None, "p90": None, "mean": None}
    assert summary["usage"]["questions"] == 12
    assert summary["usage"]["original"]["total_tokens"] == 12
    assert summary["usage"]["replay"]["total_tokens"] == 39
    assert summary["usage"]["ratio"]["total_tokens"] == 3.25
    assert summary["usage"]["ratio"]["completion_tokens"] is None
    assert summary["programs"]["original"] == {"qa 1": 12}
    assert "metric" not in summary
