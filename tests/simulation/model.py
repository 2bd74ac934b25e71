"""Programs that run for as long as chance wants, and what they say."""

from typing import TYPE_CHECKING

from penstock.core import facts
from penstock.core.facts import Event, RecordId
from penstock.core.failure import RATE_LIMITED, Failure, Kind
from penstock.kafka.token_tail import Said
from tests.simulation.draw import BUDGET
from tests.simulation.log import Question
from tests.simulation.sink import Saying

if TYPE_CHECKING:
    from tests.simulation.member import Member

FAILURES = (
    Failure(Kind.RECORD, "invalid_request", "the context window is exceeded"),
    Failure(Kind.ANSWER, "unparsable", "the answer cannot be read"),
    Failure(Kind.UPSTREAM, "server_error", "the model answered 500"),
)
DOWN = Failure(Kind.UPSTREAM, "connection_lost", "nobody listens")
BAD_KEY = Failure(Kind.OPERATOR, "bad_key", "the key is refused")


class Stream:
    """The token events of one question.

    Args:
        before: what a run of it had said that was cut off.
    """

    def __init__(
        self, member: "Member", record: RecordId, question: Question, before: Said | None
    ) -> None:
        self._member = member
        self._record = record
        self._question = question
        self._ended = self._restarts = False
        self._next = self._attempt = 0
        self.goes_on(before)

    def again(self) -> None:
        """Another attempt; what the one before has said is void."""
        self._attempt += 1
        self._restarts = self._restarts or self._next > 0

    def goes_on(self, before: Said | None) -> None:
        """Nothing is said yet."""
        self._restarts = before is not None
        self._next = 0 if before is None else before.sequence + 1
        self._attempt = 1 if before is None else before.attempt + 1

    def say(self) -> None:
        self._begin()
        self._say("token")

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._begin()
            self._say("end")

    def _begin(self) -> None:
        if self._restarts:
            self._restarts = False
            self._say("restart")

    def _say(self, kind: str) -> None:
        member, world, sequence = self._member, self._member.world, self._next
        self._next += 1
        if (job := member.jobs.get(self._record)) is None:
            return

        def lands() -> int:
            world.say(member, "says", sequence, kind, "of", self._record)
            world.tell("said", member.name, self._record, sequence, kind)
            world.moment("restarted" if kind == "restart" else "said", member)
            return world.log.say(self._question, world.now, sequence, self._attempt)

        job.channel.put(Saying(lands, completes=False))


class Model:
    """What runs; an entry is replaced when its end was moved by a cancellation."""

    def __init__(self, member: "Member") -> None:
        self._member = member
        self._world = member.world
        self._runs: dict[RecordId, object] = {}

    def __contains__(self, record: RecordId) -> bool:
        return record in self._runs

    def start(self, command: facts.Start) -> None:
        world, weather, record = self._world, self._world.weather, command.record
        job = self._member.jobs[record]
        question = job.question
        expires_at = self._member.clock.moment(command.expires_at)
        world.tell("started", self._member.name, record, question.key, expires_at)
        if command.attempt > 1:
            job.stream.again()
        event: Event = facts.Finished(record)
        out_since, out_until = weather.outage
        if out_since <= world.now < out_until:
            event = facts.Failed(record, DOWN)
        elif world.happens(weather.limited):
            event = facts.Failed(record, self._limited())
        elif world.calm_is_far and world.happens(weather.operator):
            event = facts.Failed(record, BAD_KEY)
        elif world.happens(weather.model_fails):
            event = facts.Failed(record, world.one_of(FAILURES))
        self._runs[record] = run = object()
        duration = world.chance(1, 80)
        if question.budget > BUDGET or world.happens(0.1):
            duration = world.chance(question.budget // 3, 2 * question.budget)
        for _ in range(world.chance(0, 2)):
            at = world.chance(0, duration)
            self._member.later(at, lambda: self._say(record, run, job.stream))
        if not world.happens(weather.hangs):
            self._member.later(duration, lambda: self._end(record, run, event))

    def _limited(self) -> Failure:
        after = self._world.chance(1, self._world.weather.RETRY_AFTER)
        return Failure(Kind.UPSTREAM, RATE_LIMITED, "429", retry_after=after)

    def cancel(self, record: RecordId) -> None:
        if (run := self._runs.get(record)) is not None:
            world = self._world
            stubborn = world.happens(world.weather.stubborn)
            delay = world.chance(0, world.weather.ENDING if stubborn else 2)
            # The run may still end by itself before: an answer that beats its cancellation.
            self._member.later(delay, lambda: self._end(record, run, facts.Cancelled(record)))

    def _say(self, record: RecordId, run: object, stream: Stream) -> None:
        if self._runs.get(record) is run:
            self._member.tell(facts.Answers(record))
            stream.say()

    def _end(self, record: RecordId, run: object, event: Event) -> None:
        if self._runs.get(record) is run:
            del self._runs[record]
            self._world.tell("ended", self._member.name, record)
            if isinstance(event, facts.Failed):
                # Who it runs for may be told another time that it has.
                self._world.tell("failed", self._member.name, record)
                if event.failure.retry_after:
                    self._world.moment("limited", self._member)
            self._member.tell(event)
