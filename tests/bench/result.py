"""What a benchmark found: figures of each subject, side by side."""

import sys
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Result:
    """`conditions` are what was given, `subjects` what was measured of each program."""

    conditions: dict[str, Any]
    subjects: dict[str, dict[str, float]]


def say(what: str) -> None:
    """Progress, out of the way of the figures."""
    print(what, file=sys.stderr, flush=True)
