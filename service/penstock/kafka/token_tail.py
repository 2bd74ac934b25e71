"""How far had the token streams come that a crash has cut off?"""

import math
from typing import NamedTuple


class Said(NamedTuple):
    """The last event about a question. Attempts count from 1."""

    sequence: int
    attempt: int


UNKNOWN = Said(-1, 0)
"""Something may have been said, and nobody knows what: a `restart` numbered 0 voids it."""


class TokenTail:
    """The end of one partition of the tokens, read in order.

    Args:
        below: offsets of questions from here on cannot have been started by who died.
    """

    def __init__(self, below: int = 0) -> None:
        self.below = below
        self.read_from = -math.inf
        """Unix milliseconds; of what was asked later, everything was read."""
        self._last: dict[str, Said] = {}

    def saw(self, question_id: str, sequence: int, attempt: int) -> None:
        self._last[question_id] = Said(sequence, attempt)

    def before(self, offset: int, question_id: str, asked_at: float = 0) -> Said | None:
        """What its stream goes on from, with a `restart`; None: it begins.

        `asked_at`: Unix milliseconds.
        """
        if offset >= self.below:
            return None
        return self._last.get(question_id, UNKNOWN if asked_at <= self.read_from else None)
