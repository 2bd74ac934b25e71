"""What does an operator decide about the engine?"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from penstock.core.cadence import CadencePolicy
from penstock.core.gate import GatePolicy
from penstock.core.lease import LeasePolicy
from penstock.core.models import ModelPolicy
from penstock.core.partition import Limits
from penstock.core.retry import RetryPolicy


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
    retry: RetryPolicy = field(default_factory=RetryPolicy)
    gate: GatePolicy = field(default_factory=GatePolicy)
    pace: float | None = None
    """Questions that may start in a second; None: as many as there is room for."""
    models: Mapping[str, ModelPolicy] = field(default_factory=lambda: {"": ModelPolicy()})
    """By the names that questions know them by."""
