"""A few records of one partition, and a few members, each moved by hand."""

from penstock.core import facts
from penstock.core.cadence import CadencePolicy
from penstock.core.engine import Engine
from penstock.core.facts import Answered, Command, Event, Head, RecordId
from penstock.core.lease import LeasePolicy
from penstock.core.partition import Limits
from penstock.core.policy import Policy
from penstock.kafka import metadata
from penstock.kafka.token_tail import TokenTail
from tests.simulation.log import LastCommit, Log, Question
from tests.simulation.recovery import Search

MARGIN = 100
SESSION = 400
REBALANCE = 1_000
POLICY = Policy(
    drain=100,
    republish=10,
    cancel_grace=100,
    flight=50,
    cadence=CadencePolicy(records=1, interval=1_000, backoff=10, at_least=1_000),
    limits=Limits(window_ms=600_000, margin=MARGIN),
    lease=LeasePolicy(SESSION, REBALANCE, MARGIN),
)
ZERO = frozenset({0})


class Actor:
    """A member that lives until nobody asks it any more. Times are by its own clock."""

    def __init__(self, scene: "Scene", name: str) -> None:
        self.name = name
        self.engine = Engine(POLICY, name)
        self.followed = 0
        self.tail = TokenTail()
        self._log = scene.log
        self._epoch = 0

    def __call__(self, now: int, *events: Event) -> list[Command]:
        """The group answers, unless that is the matter."""
        if not any(isinstance(event, facts.Heard) for event in events):
            self.engine.handle(facts.Heard(now), now)
        for event in events:
            self.engine.handle(event, now)
        return self.engine.poll(now).commands

    # --- the partition arrives ------------------------------------------------------------------

    def looks(self, now: int, *, known: bool = False) -> facts.Assigned:
        """What is done, and what others run; the engine is not told yet."""
        search = Search(self._log, 0, POLICY.limits.window_ms, None, writer=self.name, known=known)
        search.read_commit(now)
        search.read_completions(now)
        recovered, self.tail = search.arrival(now)
        self.followed = recovered.end.position
        self._epoch += 1
        return facts.Assigned({0: self._epoch}, {0: recovered})

    def arrives(self, now: int) -> facts.Commit:
        """The opening commit."""
        return self.told(now, self.looks(now))

    def told(self, now: int, assigned: facts.Assigned) -> facts.Commit:
        """The opening commit."""
        commands = self(now, assigned)
        [opening] = [one for one in commands if isinstance(one, facts.Commit)]
        assert not any(isinstance(one, facts.Resume | facts.Start) for one in commands)
        return opening

    def opens(self, now: int) -> list[Command]:
        """The opening commit is in the group, and the actor knows."""
        return self.opened(now, self.arrives(now))

    def opened(self, now: int, opening: facts.Commit) -> list[Command]:
        self.commits(now, opening)
        commands = self(now, facts.Committed())
        assert facts.Resume(ZERO) in commands
        return commands

    # --- questions ------------------------------------------------------------------------------

    def fetches(self, now: int, *offsets: int) -> list[int]:
        """Which of them start."""
        return starts(self.takes(now, *offsets))

    def takes(self, now: int, *offsets: int) -> list[Command]:
        questions = {question.offset: question for question in self._log.of(0)}
        fetched = [
            facts.Fetched(
                self.record(offset),
                None,
                1_000,
                timestamp=questions[offset].arrives_at,
                question_id=questions[offset].question_id,
                own_id=False,
                asked_at=questions[offset].arrives_at,
            )
            for offset in offsets
        ]
        return self(now, *fetched)

    def answers(self, now: int, record: int | RecordId) -> None:
        """Its completion is on its way."""
        named = self._named(record)
        assert facts.PublishCompletion(named) in self(now, facts.Finished(named))

    def lands(self, now: int, record: int | RecordId) -> int:
        """The completion is in its topic, and nobody has heard of it."""
        offset = self._named(record).offset
        [question] = [question for question in self._log.of(0) if question.offset == offset]
        return self._log.complete(question, now, None)

    def hears(self, now: int, record: int | RecordId, position: int | None) -> facts.Commit:
        """It is acknowledged; what is committed then."""
        commands = self(now, facts.Published(self._named(record), position))
        [commit] = [one for one in commands if isinstance(one, facts.Commit)]
        return commit

    def follows(self, now: int, as_of: int | None = None) -> list[Command]:
        """Reads the completions up to their end; `as_of`: which they were at then."""
        topic, as_of = self._log.completions[0], now if as_of is None else as_of
        begin, self.followed = self.followed, len(topic)
        answered = [Answered(one.offset, one.timestamp) for one in topic[begin:]]
        return self(now, facts.Followed(0, self._epoch, answered, self.followed, as_of))

    def may_speak(self, now: int, record: RecordId) -> bool:
        until = self.engine.speaks_until(record)
        return until is not None and now < until

    # --- the partition goes ---------------------------------------------------------------------

    def leaves(self, now: int, until: int | None = None) -> facts.Release:
        """What runs has until then; with no time left, unless told otherwise."""
        commands = self(now, facts.Revoking(ZERO, now if until is None else until))
        return next(one for one in commands if isinstance(one, facts.Release))

    def hands_over(self, now: int, until: int) -> facts.Release:
        """And the group has it."""
        release = self.leaves(now, until)
        self.commits(now, release)
        self(now, facts.Released(ZERO, committed=True))
        return release

    def commits(self, now: int, command: facts.Commit | facts.Release) -> None:
        """It is applied; the actor does not know yet."""
        for partition, head in command.heads.items():
            text = metadata.write(head, self.name, now)
            self._log.commits[partition] = LastCommit(head.offset, text)

    def record(self, offset: int) -> RecordId:
        """As of now; it has another name when its partition has come back."""
        return RecordId(0, self._epoch, offset)

    def _named(self, record: int | RecordId) -> RecordId:
        return self.record(record) if isinstance(record, int) else record


class Scene:
    def __init__(self, questions: int, ids: int = 1_000) -> None:
        """They ask for so many different things."""
        self.log = Log(partitions=1, completions=1)
        asked = [
            Question(0, offset, f"q{offset % ids}", True, None, offset, None, None, 1_000)
            for offset in range(questions)
        ]
        self.log.create(0, asked)

    def enters(self, name: str = "first") -> Actor:
        return Actor(self, name)

    def said(self, now: int = 0) -> Head:
        """The group's last commit."""
        last = metadata.read(*self.log.commits[0], now)
        offset, text = self.log.commits[0]
        assert last.done.committed == offset
        return Head(offset, text, last.bookmark, last.clean, last.runs)


def starts(commands: list[Command]) -> list[int]:
    return [one.record.offset for one in commands if isinstance(one, facts.Start)]


def drops(commands: list[Command]) -> list[RecordId]:
    """Runs that are lost."""
    return [one.record for one in commands if isinstance(one, facts.Drop) and one.cut_off]


def runs(head: Head) -> list[tuple[int, str]]:
    return [(run.offset, run.runner) for run in head.runs]
