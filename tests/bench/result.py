"""What a benchmark found: figures of each subject, side by side."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.figures import Figures


@dataclass(frozen=True)
class Result:
    """`conditions` are what was given, `subjects` what was measured of each program."""

    conditions: Mapping[str, Any]
    subjects: Mapping[str, Figures]


def say(what: str) -> None:
    """Progress, out of the way of the figures."""
    print(what, file=sys.stderr, flush=True)
