"""What does an operator decide about the engine?"""

from dataclasses import dataclass, field

from penstock.core.cadence import CadencePolicy
from penstock.core.lease import LeasePolicy
from penstock.core.partition import Limits


@dataclass(frozen=True, slots=True)
class Policy:
    """Times in seconds."""

    slots: int = 64
    high: int = 200
    low: int = 100
    drain: float = 25.0
    republish: float = 1.0
    cancel_grace: float = 5.0
    """How long a cancelled program may take to end before it is given up as it runs."""
    flight: float = 2.0
    """The longest a request of ours may stay on its way."""
    held_back: float = 60.0
    """A record that holds back the commits for longer is worth a line in the log."""
    dead_letter_expired: bool = True
    cadence: CadencePolicy = field(default_factory=CadencePolicy)
    limits: Limits = field(default_factory=Limits)
    lease: LeasePolicy = field(default_factory=LeasePolicy)
