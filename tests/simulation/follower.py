"""What do others complete of our partitions? Reads on at the end of the completions."""

from typing import TYPE_CHECKING

from penstock.core.facts import Answered, Followed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulation.member import Member

EVERY = 30
"""Milliseconds between two looks at the end."""
READING = 20
"""The longest that one takes."""


class Follower:
    def __init__(self, member: "Member") -> None:
        self._member = member
        self._world = member.world
        self._followed: dict[int, tuple[int, int]] = {}
        """Partition to its epoch and position."""
        self._looks = False

    def follow(self, partitions: "Mapping[int, tuple[int, int]]") -> None:
        """These from now on, and no others."""
        before = self._followed
        self._followed = {
            number: before[number] if before.get(number, (-1,))[0] == wanted[0] else wanted
            for number, wanted in partitions.items()
        }
        if self._followed and not self._looks:
            self._looks = True
            self._member.later(self._world.chance(0, EVERY), self._look)

    def _look(self) -> None:
        if not self._followed:
            self._looks = False
            return
        if self._member.wire.cut:
            self._member.wire.when_healed(self._look)
            return
        log, as_of = self._world.log, self._member.clock.now
        found = []
        for number, (epoch, position) in self._followed.items():
            topic = log.completions[number % len(log.completions)]
            answered = [
                Answered(one.offset, one.timestamp)
                for one in topic[position:]
                if one.partition == number
            ]
            found.append(Followed(number, epoch, answered, len(topic), as_of))

        def read() -> None:
            for followed in found:
                number, epoch = followed.partition, followed.epoch
                self._member.tell(followed)
                if self._followed.get(number, (-1,))[0] == epoch:
                    self._followed[number] = epoch, followed.position
            self._member.later(EVERY, self._look)

        self._member.later(self._world.chance(0, READING), read)
