"""How do requests reach the brokers, and how do answers come back? Slowly; and while the network
is cut, nobody knows.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from tests.simulation.member import Member

T = TypeVar("T")
Then = Callable[[], object]


class Wire:
    """Of one member."""

    def __init__(self, member: "Member") -> None:
        self.cut = False
        self._member = member
        self._world = member.world
        self._healed: list[Then] = []

    def call(self, arrives: Callable[[], T], answered: Callable[[T | None], object]) -> None:
        """Answered with None: it is not known whether it has arrived."""
        if self.cut:
            self.when_healed(lambda: answered(None))
            return

        def arrive() -> None:
            if self.swallows():
                self.when_healed(lambda: answered(None))
            else:
                answer = arrives()
                self.answer(lambda: answered(answer), lambda: answered(None))

        self._world.after(self._world.chance(1, 5), arrive)

    def answer(self, then: Then, otherwise: Then) -> None:
        """An answer comes to us; `otherwise`: when we know that it will not come."""

        def hear() -> None:
            if self.cut:
                self.when_healed(otherwise)
            else:
                then()

        if self._member.frozen:
            self._member.missed.append(hear)
        elif self._member.alive:
            hear()

    def swallows(self) -> bool:
        """What was on its way when the network was cut."""
        return self.cut and self._world.happens(0.5)

    def when_healed(self, then: Then) -> None:
        self._healed.append(then)

    def heal(self) -> None:
        self.cut = False
        healed, self._healed = self._healed, []
        for then in healed:
            self._member.later(self._world.chance(0, 20), then)
