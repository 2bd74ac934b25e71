"""What a benchmark found: figures of each subject, side by side."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.bench.figures import Figures, Spread


@dataclass(frozen=True)
class Result:
    """`conditions` are what was given, `subjects` what was measured of each program: the medians
    of all rounds. `spread`: between which values they were, where there was more than one round."""

    conditions: Mapping[str, Any]
    subjects: Mapping[str, Figures]
    spread: Mapping[str, Spread] = field(default_factory=dict)


def say(what: str) -> None:
    """Progress, out of the way of the figures."""
    print(what, file=sys.stderr, flush=True)
