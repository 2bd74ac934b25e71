"""Completions on their way: refused, landed, landed and never heard of."""

from typing import TYPE_CHECKING

from penstock.core import facts
from penstock.core.facts import RecordId

if TYPE_CHECKING:
    from tests.simulation.member import Job, Member


class Sink:
    def __init__(self, member: "Member") -> None:
        self._member = member
        self._world = member.world
        self._refusals: dict[RecordId, int] = {}

    def publish(self, record: RecordId, job: "Job", repeats: int | None) -> None:
        world, weather = self._world, self._world.weather
        refusals = self._refusals.get(record, 0)
        if job.position is not None:
            # The refusal of before was wrong, and who looks into the topic finds it there.
            world.moment("found", self._member)
            found = facts.Published(record, job.position)
            self._member.later(world.chance(1, weather.PUBLISH), lambda: self._member.tell(found))
            return
        refused = (
            world.calm_is_far and refusals < weather.REFUSALS and world.happens(weather.refused)
        )
        latency = world.chance(1, weather.PUBLISH if world.happens(weather.slow_broker) else 10)
        if repeats is None:
            job.stream.end()
        if refused:
            self._refusals[record] = refusals + 1
            self._member.later(latency, lambda: self._refused(record))
        else:
            # Not `later`: what is on its way when its member dies may land all the same.
            world.after(latency, lambda: self._lands(record, job, repeats))

    def _refused(self, record: RecordId) -> None:
        self._member.tell(facts.PublishFailed(record))
        self._world.moment("refused", self._member)

    def _lands(self, record: RecordId, job: "Job", repeats: int | None) -> None:
        world, weather = self._world, self._world.weather
        if not self._member.alive and world.happens(0.5):
            return
        job.position = position = world.log.complete(job.question, world.now, repeats)
        world.say(self._member, "has completed", record, "at", position)
        world.tell("completed", self._member.name, record, repeats)
        world.moment("landed", self._member)
        told: facts.Event = facts.Published(record, position)
        late = 1
        if world.happens(weather.answer_lost):
            late = world.chance(1, weather.RETRIED)
            told = world.one_of((told, facts.Published(record, None)))
            if world.calm_is_far and self._refusals.get(record, 0) < weather.REFUSALS:
                self._refusals[record] = self._refusals.get(record, 0) + 1
                told = world.one_of((told, facts.PublishFailed(record)))
        if told == facts.Published(record, None):
            world.moment("position unknown", self._member)
        self._member.later(late, lambda: self._member.tell(told))
