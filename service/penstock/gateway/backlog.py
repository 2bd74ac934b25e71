"""How long would a question wait for its start?"""

import math
from dataclasses import dataclass

WEIGHT = 0.05
"""Of the last question in the mean of how long they run."""


@dataclass(slots=True)
class Backlog:
    """Little's law, from what is known: the questions before it, times how long one runs, by how
    many run at once. Times in seconds.
    """

    slots: int = 0
    """Of all members; 0: nobody reports."""
    known: int = 0
    """Questions that are not done, when it was looked last."""
    since: int = 0
    """... and how many more, or less, there are by now."""
    mean: float | None = None

    def looked(self, backlog: int, slots: int) -> None:
        """At the group."""
        self.known, self.slots, self.since = backlog, slots, 0

    def asked(self) -> None:
        self.since += 1

    def ended(self, seconds: float | None) -> None:
        """`seconds`: that it ran; None: it never did."""
        self.since -= 1
        if seconds is not None:
            self.mean = seconds if self.mean is None else self.mean + WEIGHT * (seconds - self.mean)

    def wait(self) -> float:
        """Of one that is asked now. 0 where nothing is known that speaks against it."""
        waiting = self.known + self.since - self.slots
        if self.slots == 0 or self.mean is None or waiting < 0:
            return 0.0
        return (waiting + 1) * self.mean / self.slots

    def retry_after(self, at_most: float) -> int | None:
        """Whole seconds after which it may be asked; None: now. `at_most`: it may wait so long."""
        too_long = self.wait() - at_most
        return math.ceil(too_long) if too_long > 0 else None
