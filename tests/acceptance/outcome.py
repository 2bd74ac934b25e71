"""What a scenario found out."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """Promises broken are wrong on any machine; bounds passed are so on one that is quiet."""

    figures: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)

    def promise(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self.wrong.append(otherwise)

    def bound(self, kept: bool, otherwise: str) -> None:
        if not kept:
            self.beyond.append(otherwise)

    @property
    def ok(self) -> bool:
        return not self.wrong and not self.beyond
