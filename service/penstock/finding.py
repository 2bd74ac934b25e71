"""What was found where somebody looked whether a service can work?"""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    OK = "ok"
    SKIPPED = "skipped"
    """It could not be looked at, or was not to be."""
    WARNING = "warning"
    """It works, and may do harm one day."""
    WRONG = "wrong"
    """It does not work, or loses something."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line.

    Args:
        level: how bad it is.
        about: what was looked at, such as `topic 'penstock.tokens'`.
        said: about it; the two make a sentence.
        remedy: what to do.
    """

    level: Level
    about: str
    said: str
    remedy: str | None = None

    def __str__(self) -> str:
        sentence = f"{self.about} {self.said}"
        return sentence if self.remedy is None else f"{sentence}; {self.remedy}"
