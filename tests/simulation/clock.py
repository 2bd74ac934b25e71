"""What is the time in one process?

Monotonic clocks of two processes have nothing in common, and do not even run alike.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World


class Clock:
    """`rate`: how much faster than the world's it is; 1 is as fast."""

    def __init__(self, world: "World", offset: int, rate: float) -> None:
        self._world = world
        self._offset = offset
        self._rate = rate

    @property
    def now(self) -> float:
        return self.reads(self._world.now)

    def reads(self, moment: float) -> float:
        """What it shows at this moment of the world."""
        return self._offset + moment * self._rate

    def moment(self, read: float) -> float:
        """When it shows this."""
        return (read - self._offset) / self._rate
