"""What is an answer worth? The user's metric says: `metric(example, prediction, trace=None)`."""

import math
import sys
from collections.abc import Mapping
from contextlib import redirect_stdout
from typing import Any

import dspy

from penstock.errors import ConfigurationError
from penstock.importing import imported, is_entry
from penstock.replay.comparison import Scores, answered, outputs
from penstock.replay.pairs import Said


class Metric:
    """By its name, `package.module:function`.

    What it prints is no data: that goes to stderr.

    Raises:
        ConfigurationError: there is none.
    """

    def __init__(self, entry: str) -> None:
        self.name = entry
        if not is_entry(entry):
            raise ConfigurationError(f"--metric {entry}: write module:function")
        try:
            with redirect_stdout(sys.stderr):
                self._metric = imported(entry)
        except ConfigurationError as error:
            raise ConfigurationError(f"--metric: {error}") from error
        if not callable(self._metric):
            raise ConfigurationError(f"--metric {entry}: is no function")

    def scores(
        self, inputs: Mapping[str, Any] | None, original: Said | None, replay: Said
    ) -> Scores:
        """Of the answers; what has none has no score. The example is the question: there are no
        labels.
        """
        example = dspy.Example(dict(inputs or {})).with_inputs(*(inputs or {}))
        try:
            return Scores(self._score(example, original), self._score(example, replay))
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            why = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return Scores(error=why)

    def _score(self, example: Any, said: Said | None) -> float | None:
        if not answered(said):
            return None
        with redirect_stdout(sys.stderr):
            # A number, a bool, or a prediction that has a score.
            score = float(self._metric(example.copy(), dspy.Prediction(**outputs(said))))
        if not math.isfinite(score):
            raise ValueError(f"{score} is no score")
        return score
