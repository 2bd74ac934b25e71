"""What has become of an answer? A replay's completion beside the original one.

Compared are the outputs, all of them or those asked for, as they stand in the completion. White
space at the ends of a text counts for nothing: models end with a line break or without one as it
happens, and adapters differ in what they cut off.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from penstock.replay.pairs import Said

Outcome = Literal[
    "equal", "changed", "newly_failed", "newly_fixed", "both_failed", "original_unanswered"
]

OUTCOMES: Mapping[Outcome, str] = {
    "changed": "answered both times, with other outputs",
    "newly_failed": "answered, and not by the replay",
    "newly_fixed": "answered by the replay alone",
    "both_failed": "answered neither time",
    "original_unanswered": "nothing to compare the answer with",
    "equal": "answered both times, with the same outputs",
}

_ENDS = {"completed": "answered", "failed": "failed", "expired": "failed"}
"""Any other status is no answer at all."""

_TABLE: Mapping[tuple[str | None, str | None], Outcome | None] = {
    ("answered", "answered"): "changed",
    ("answered", "failed"): "newly_failed",
    ("failed", "answered"): "newly_fixed",
    ("failed", "failed"): "both_failed",
    (None, "answered"): "original_unanswered",
    (None, "failed"): "original_unanswered",
}
"""By how the original and the replay's completion end; else there is nothing to compare."""


class Scores(NamedTuple):
    """A metric's; None where there was no answer, or the metric raised `error`."""

    original: float | None = None
    replay: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Compared:
    """A question that was asked again.

    Args:
        partition: where it stands.
        offset: the same.
        inputs: None where it is none that can be read.
        original: its completion, as it stands in the topic; None: there is none.
        replay: the one of the replay.
        outcome: what has become of it.
        fields: the outputs that differ, where it was answered both times.
        scores: of a metric, if one was asked for.
    """

    partition: int
    offset: int
    inputs: Mapping[str, Any] | None
    original: Said | None
    replay: Said
    outcome: Outcome
    fields: tuple[str, ...] = field(default=())
    scores: Scores | None = None

    @property
    def question_id(self) -> str:
        return str(self.replay.get("question_id"))


def compare(
    original: Said | None, replay: Said | None, wanted: Collection[str] = ()
) -> tuple[Outcome, tuple[str, ...]] | None:
    """What has become of it, and which outputs differ; None: the replay has no answer.

    `wanted`: the outputs that count; none named: all.
    """
    outcome = _TABLE.get((_end(original), _end(replay)))
    if outcome != "changed":
        return None if outcome is None else (outcome, ())
    fields = tuple(_differing(outputs(original), outputs(replay), wanted))
    return ("changed" if fields else "equal"), fields


def outputs(said: Said | None) -> dict[str, Any]:
    """Of a completion; of none, none."""
    found = None if said is None else said.get("outputs")
    return found if isinstance(found, dict) else {}


def answered(said: Said | None) -> bool:
    """Whether it holds an answer."""
    return _end(said) == "answered"


def _end(said: Said | None) -> str | None:
    status = None if said is None else said.get("status")
    return _ENDS.get(status) if isinstance(status, str) else None


def _differing(
    original: Mapping[str, Any], replay: Mapping[str, Any], wanted: Collection[str]
) -> Iterator[str]:
    for name in dict.fromkeys((*original, *replay)):
        both = name in original and name in replay
        same = both and _canonical(original[name]) == _canonical(replay[name])
        if not same and (not wanted or name in wanted):
            yield name


def _canonical(value: Any) -> bytes:
    """Of JSON, `true` is not 1, and the order of names says nothing."""
    return orjson.dumps(_stripped(value), option=orjson.OPT_SORT_KEYS)


def _stripped(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, dict):
        return {name: _stripped(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_stripped(inner) for inner in value]
    return value
