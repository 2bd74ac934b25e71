"""What is known of a record that is not done?"""

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum, auto

from penstock.core.admission import Turn
from penstock.core.duplicates import Asked
from penstock.core.facts import Conclusion, Fetched
from penstock.core.failure import Kind


class Phase(Enum):
    """`runs`: whether a program does, or has, and what came of it is being published."""

    WAITING = auto()
    HELD = auto()
    """Another process runs it."""
    RUNNING = auto()
    CANCELLING = auto()
    """Told to stop, not yet ended: it still has its slot."""
    RETRYING = auto()
    """Has failed, and waits to run again: it has its lane and no slot."""
    KEPT = auto()
    """Has failed for good, and waits for an operator; it has its lane, too."""
    PUBLISHING = auto()

    @property
    def runs(self) -> bool:
        return self in {Phase.RUNNING, Phase.CANCELLING, Phase.PUBLISHING}


@dataclass(slots=True)
class Question:
    phase: Phase
    asked: Fetched
    lane: tuple[int, Hashable]
    first: Asked | None
    """Whose id this one has again."""
    expires_at: float | None
    attempt: int = 0
    spent: Counter[Kind] = field(default_factory=Counter)
    """Failures that count, by kind."""
    answered: bool = False
    """The model has begun to answer this attempt."""
    failed_at: float | None = None
    """The last time."""
    again_at: float = 0.0
    """When it may run again."""
    cancelled: bool = False
    """Somebody asked for it while it ran."""
    conclusion: Conclusion | None = None
    """What is to be published, kept for another try."""
    waits: bool = False
    """Whether the conclusion waits: for that other try, or until it may be published."""
    abandoned: bool = False
    """Its program goes on although it was told to end."""
    until: float | None = None
    """Until when it may go on; None: as long as its partition is ours."""
    lost: bool = False
    """Somebody else will answer it; when its run has ended, it is forgotten."""

    @property
    def turn(self) -> Turn:
        asked = self.asked
        return Turn(asked.record.partition, asked.program, asked.model)

    @property
    def on_its_way(self) -> bool:
        """Whether its completion is being published."""
        return self.phase is Phase.PUBLISHING and not self.waits
