"""How does a replay do beside the original, all in all?

What is kept of a question is four numbers of eight bytes, and two more with a metric.
"""

from array import array
from collections import Counter
from collections.abc import Mapping
from math import ceil
from operator import sub
from typing import Any

from penstock.replay.comparison import OUTCOMES, Compared, answered
from penstock.replay.pairs import Said

TIMES = ("duration_ms", "first_token_ms")
TOKENS = ("prompt_tokens", "completion_tokens", "total_tokens")
KINDS = 20
"""Programs and models that are named."""


class _Both:
    """Numbers of the same questions, of the original and of the replay."""

    def __init__(self) -> None:
        self.original, self.replay = array("d"), array("d")

    def add(self, original: float | None, replay: float | None) -> None:
        """Only what both have can be compared."""
        if original is not None and replay is not None:
            self.original.append(original)
            self.replay.append(replay)

    @property
    def questions(self) -> int:
        return len(self.original)


class Figures:
    """Counts what has become of each question, and adds up time, tokens and scores."""

    def __init__(self, metric: str | None = None) -> None:
        self.outcomes: Counter[str] = Counter(dict.fromkeys(OUTCOMES, 0))
        self.not_replayed = 0
        self.raised = 0
        self.first_raised: str | None = None
        self._metric = metric
        self._times = {name: _Both() for name in TIMES}
        self._scores = _Both()
        self._tokens = {side: Counter[str]() for side in ("original", "replay")}
        self._counted = 0
        self._programs = {side: Counter[str]() for side in ("original", "replay")}

    def add(self, one: Compared) -> None:
        """Times are compared where there are answers, tokens wherever the model was asked."""
        self.outcomes[one.outcome] += 1
        for side, said in (("original", one.original), ("replay", one.replay)):
            if said is not None:
                self._programs[side][program_and_model(said)] += 1
        if one.scores is not None:
            self.raised += one.scores.error is not None
            self.first_raised = self.first_raised or one.scores.error
            self._scores.add(one.scores.original, one.scores.replay)
        if one.original is None or one.outcome == "original_unanswered":
            return
        if answered(one.original) and answered(one.replay):
            for name, both in self._times.items():
                both.add(number(one.original, "timing", name), number(one.replay, "timing", name))
        self._counted += 1
        for side, said in (("original", one.original), ("replay", one.replay)):
            for name in TOKENS:
                self._tokens[side][name] += int(number(said, "usage", name) or 0)

    @property
    def questions(self) -> int:
        """Compared, or answered by the replay alone."""
        return self.outcomes.total()

    def summary(self) -> dict[str, Any]:
        """As JSON has it. Times in milliseconds; `ratio`: the replay's tokens to the original's."""
        said: dict[str, Any] = {
            "questions": self.questions,
            "outcomes": dict(self.outcomes),
            "not_replayed": self.not_replayed,
            "programs": {side: _most(found) for side, found in self._programs.items()},
            **{name: _spread(both) for name, both in self._times.items()},
            "usage": self._usage(),
        }
        if self._metric is not None:
            said["metric"] = self._scored()
        return said

    def _usage(self) -> dict[str, Any]:
        before, after = self._tokens["original"], self._tokens["replay"]
        return {
            "questions": self._counted,
            **{side: {name: sums[name] for name in TOKENS} for side, sums in self._tokens.items()},
            "ratio": {
                name: round(after[name] / before[name], 4) if before[name] else None
                for name in TOKENS
            },
        }

    def _scored(self) -> dict[str, Any]:
        both = self._scores
        differences = array("d", map(sub, both.replay, both.original))
        return {
            "name": self._metric,
            "questions": both.questions,
            "original": _mean(both.original),
            "replay": _mean(both.replay),
            "better": sum(more > 0 for more in differences),
            "worse": sum(more < 0 for more in differences),
            "raised": self.raised,
            "first_raised": self.first_raised,
        }


def number(said: Said, *path: str) -> float | None:
    """That stands there in a completion."""
    found: Any = said
    for name in path:
        found = found.get(name) if isinstance(found, Mapping) else None
    return float(found) if isinstance(found, int | float) else None


def program_and_model(said: Said) -> str:
    """Who has answered."""
    program = said.get("program")
    program = program if isinstance(program, Mapping) else {}
    names = (program.get("name"), program.get("version"), said.get("model"))
    return " ".join(str(name) for name in names if name) or "nobody"


def quantile(numbers: "array[float]", part: float) -> float | None:
    """The least of them that is no less than this part of them."""
    return sorted(numbers)[max(0, ceil(part * len(numbers)) - 1)] if numbers else None


def _spread(both: _Both) -> dict[str, Any]:
    sides = {"original": both.original, "replay": both.replay}
    return {
        "questions": both.questions,
        **{
            side: {
                "p50": quantile(found, 0.5),
                "p90": quantile(found, 0.9),
                "mean": _mean(found),
            }
            for side, found in sides.items()
        },
    }


def _mean(numbers: "array[float]") -> float | None:
    return round(sum(numbers) / len(numbers), 4) if numbers else None


def _most(found: Counter[str]) -> dict[str, int]:
    return dict(found.most_common(KINDS))
