"""A few records of one partition, and one member after the other, each moved by hand."""

from penstock.core import facts
from penstock.core.cadence import CadencePolicy
from penstock.core.engine import Engine, Policy
from penstock.core.facts import Command, Event, Head, RecordId
from penstock.kafka import metadata
from tests.simulation.log import LastCommit, Log, Question
from tests.simulation.recovery import Search

POLICY = Policy(
    drain=100,
    republish=10,
    cancel_grace=100,
    flight=50,
    cadence=CadencePolicy(records=1, interval=1_000, backoff=10, at_least=1_000),
)
WINDOW = POLICY.limits.window_ms


class Actor:
    """A member that lives until nobody asks it any more."""

    def __init__(self, scene: "Scene") -> None:
        self.engine = Engine(POLICY)
        self._log = scene.log
        self._epoch = 1

    def __call__(self, now: int, *events: Event) -> list[Command]:
        for event in events:
            self.engine.handle(event, now)
        return self.engine.poll(now).commands

    def arrives(self, now: int) -> facts.Commit:
        """Finds out what is done; then the opening commit."""
        search = Search(self._log, 0, WINDOW, None)
        search.read_commit()
        search.read_completions(now)
        recovered, self.tail = search.arrival(now)
        opening, *others = self(now, facts.Assigned({0: self._epoch}, {0: recovered}))
        assert not others, "nothing but the opening commit"
        assert isinstance(opening, facts.Commit)
        return opening

    def opens(self, now: int) -> None:
        """The opening commit is in the group, and the actor knows."""
        self.commits(self.arrives(now))
        assert facts.Resume(frozenset({0})) in self(now, facts.Committed())

    def fetches(self, now: int, *offsets: int) -> list[int]:
        """Which of them start."""
        questions = {question.offset: question for question in self._log.of(0)}
        fetched = [
            facts.Fetched(self.record(offset), None, 1_000, timestamp=questions[offset].arrives_at)
            for offset in offsets
        ]
        commands = self(now, *fetched)
        return [one.record.offset for one in commands if isinstance(one, facts.Start)]

    def answers(self, now: int, offset: int) -> None:
        """Its completion is on its way."""
        answered = self(now, facts.Finished(self.record(offset)))
        assert facts.PublishCompletion(self.record(offset)) in answered

    def lands(self, now: int, offset: int) -> int:
        """The completion is in its topic, and nobody has heard of it."""
        [question] = [question for question in self._log.of(0) if question.offset == offset]
        return self._log.complete(question, now, None)

    def hears(self, now: int, offset: int, position: int | None) -> facts.Commit:
        """It is acknowledged; what is committed then."""
        [commit] = self(now, facts.Published(self.record(offset), position))
        assert isinstance(commit, facts.Commit)
        return commit

    def leaves(self, now: int) -> facts.Release:
        """With no time left for what runs."""
        commands = self(now, facts.Revoking(frozenset({0}), now))
        return next(one for one in commands if isinstance(one, facts.Release))

    def commits(self, command: facts.Commit | facts.Release) -> None:
        """It is applied; the actor does not know yet."""
        for partition, head in command.heads.items():
            self._log.commits[partition] = LastCommit(head.offset, metadata.write(head, "actor"))

    def record(self, offset: int) -> RecordId:
        return RecordId(0, self._epoch, offset)


class Scene:
    def __init__(self, questions: int) -> None:
        self.log = Log(partitions=1, completions=1)
        asked = [
            Question(0, offset, f"0/{offset}", False, None, offset, None, None, 1_000)
            for offset in range(questions)
        ]
        self.log.create(0, asked)

    def enters(self) -> Actor:
        return Actor(self)

    def said(self) -> Head:
        """The group's last commit."""
        last = metadata.read(*self.log.commits[0])
        offset, text = self.log.commits[0]
        assert last.done.committed == offset
        return Head(offset, text, last.bookmark, last.clean)
