"""Inbox, `handle`, `poll`, carry out. The one task that calls the engine."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

import structlog

from penstock.clock import Clock
from penstock.core import facts
from penstock.core.duplicates import Asked
from penstock.core.engine import Engine
from penstock.core.facts import Head, RecordId, Status, Used
from penstock.core.failure import Failure, Kind
from penstock.errors import CommitError, KafkaError, LostPartitionsError
from penstock.inbox import Inbox

IDLE = 1.0
"""Seconds after which the loop turns although nothing happened: the liveness probe watches it."""

LAST_SECONDS = 4.0
"""In which the last commit is tried again; a coordinator that has moved refuses at once."""
LAST_PAUSE = 0.2

log = structlog.get_logger("penstock.loop")


class Delivery(Protocol):
    """What a source fetches, as far as the loop looks at it."""

    @property
    def record(self) -> RecordId: ...
    @property
    def lane(self) -> Hashable | None: ...
    @property
    def budget(self) -> float: ...
    @property
    def expires_at(self) -> float | None: ...
    @property
    def failure(self) -> Failure | None: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def question_id(self) -> str: ...
    @property
    def own_id(self) -> bool: ...
    @property
    def model(self) -> str: ...
    @property
    def program(self) -> str | None: ...
    @property
    def asked_at(self) -> int: ...


FOR_THE_LOG = (
    facts.AlreadyDone,
    facts.RetryAt,
    facts.ModelShut,
    facts.ModelOpened,
    facts.GateShut,
    facts.KeptBack,
    facts.HeldBack,
)
"""And the metrics: there is nothing to be carried out."""

D = TypeVar("D", bound=Delivery)
D_co = TypeVar("D_co", bound=Delivery, covariant=True)


class Source(Protocol[D_co]):
    """The questions."""

    async def fetch(self) -> Sequence[D_co]: ...
    def pause(self, partitions: Iterable[int]) -> None: ...
    def resume(self, partitions: Iterable[int]) -> None: ...
    async def commit(self, heads: Mapping[int, Head]) -> None: ...
    def follow(self, partitions: Mapping[int, tuple[int, int]]) -> None: ...
    async def leave(self) -> None: ...


class Job(Protocol):
    """One question, with its payload."""

    @property
    def used(self) -> Used:
        """By the last attempt, of the model."""
        ...

    async def run(self, attempt: int) -> Failure | None: ...
    def take_over(self, since: float) -> None: ...
    async def conclude(
        self,
        status: Status,
        failure: Failure | None = None,
        *,
        dead_letter: bool = False,
        first: Asked | None = None,
    ) -> int | None: ...
    def drop(self, *, cut_off: bool) -> None: ...


J = TypeVar("J", bound=Job)
Observer = Callable[[facts.Event | facts.Command, J | None], None]


class Loop(Generic[D, J]):
    """Joins the engine with the world."""

    def __init__(
        self,
        engine: Engine,
        source: Source[D],
        begin: Callable[[D], J],
        clock: Clock,
        observe: Observer[J],
    ) -> None:
        self.turned_at: float | None = None
        self.jobs: dict[RecordId, J] = {}
        self._engine = engine
        self._source = source
        self._begin = begin
        self._clock = clock
        self._observe = observe
        self._inbox = Inbox()
        self._runs: dict[RecordId, asyncio.Task[None]] = {}
        self._conclusions: dict[RecordId, asyncio.Task[int | None]] = {}
        self._commits: set[asyncio.Task[None]] = set()
        self._awaiting_release: list[asyncio.Future[None]] = []
        self._released: list[asyncio.Future[None]] = []
        """Those whose release has ended; what is lost by that, the engine has to drop first."""
        self._stop: facts.Stop | None = None
        self._ended = False
        self._routes: dict[type, Callable[[Any], None]] = {
            facts.Start: self._start,
            facts.TakeOver: lambda command: self.jobs[command.record].take_over(command.since),
            facts.Cancel: self._cancel,
            facts.Drop: self._drop,
            facts.PublishCompletion: self._publish_completion,
            facts.GiveUp: self._give_up,
            facts.PublishDuplicate: self._repeats,
            facts.Pause: lambda command: source.pause(command.partitions),
            facts.Resume: lambda command: source.resume(command.partitions),
            facts.Commit: self._commit_soon,
            facts.Follow: lambda command: source.follow(command.partitions),
            facts.Release: self._begin_release,
            **dict.fromkeys(FOR_THE_LOG, lambda _: None),
            facts.Depart: self._depart,
            facts.Stop: self._stopping,
        }

    async def run(self) -> Failure | None:
        """Until the engine says `Stop`; then why, if an operator is needed.

        Raises:
            KafkaError: fetching failed for good.
        """
        fetching = asyncio.create_task(self._fetch())
        fetching.add_done_callback(self._raise)
        try:
            while self._stop is None:
                wake_at = self._turn()
                if self._stop is None:
                    await self._inbox.wait(wake_at - self._clock.monotonic())
            # Leaving the group may be waiting for what the group has asked for meanwhile.
            _go_on(self._awaiting_release + self._released)
            await asyncio.gather(*self._commits)
        finally:
            # What is left belongs to nobody: a run that does not end, a record nobody acknowledges.
            for task in (fetching, *self._runs.values(), *self._conclusions.values()):
                task.cancel()
            self._ended = True
            # Nobody waits for another turn.
            self.turned_at = None
            _go_on(self._awaiting_release + self._released)
        return self._stop.failure

    def tell(self, event: facts.Event) -> None:
        """Something happened. Never call the engine; tell the loop."""
        self._inbox.put(event)

    async def revoke(
        self, partitions: frozenset[int], until: float, *, commits: bool = True
    ) -> None:
        """Returns when nothing of these partitions starts any more, and what is done and what goes
        on is committed, unless it must not be.
        """
        if self._ended or self._stop is not None:
            return
        released = asyncio.get_running_loop().create_future()
        self._awaiting_release.append(released)
        self.tell(facts.Revoking(partitions, until, commits))
        await released

    def _turn(self) -> float:
        """Handles what is in the inbox, carries out what follows, says when to turn again."""
        self.turned_at = now = self._clock.monotonic()
        items = self._inbox.items
        while items:
            item = items.popleft()
            if isinstance(item, _Batch):
                self._take(item, now)
            elif isinstance(item, BaseException):
                raise item
            else:
                self._handle(item, now)
        step = self._engine.poll(now)
        for command in step.commands:
            self._observe(command, self._job_of(command))
            self._routes[type(command)](command)
        released, self._released = self._released, []
        _go_on(released)
        return now + IDLE if step.wake_at is None else min(step.wake_at, now + IDLE)

    def _handle(self, event: facts.Event, now: float) -> None:
        self._engine.handle(event, now)
        self._observe(event, self._job_of(event))
        if isinstance(event, facts.Published):
            self.jobs.pop(event.record, None)

    def _job_of(self, fact: facts.Event | facts.Command) -> J | None:
        record = getattr(fact, "record", None)
        return None if record is None else self.jobs.get(record)

    # --- fetching -----------------------------------------------------------------------------

    async def _fetch(self) -> None:
        while True:
            batch = _Batch(await self._source.fetch())
            self._inbox.put(batch)
            # One batch at a time: the engine may want to pause before the next.
            await batch.taken.wait()

    def _take(self, batch: "_Batch", now: float) -> None:
        for delivery in batch.deliveries:
            record = delivery.record
            fetched = facts.Fetched(
                record,
                delivery.lane,
                delivery.budget,
                delivery.expires_at,
                delivery.failure,
                timestamp=delivery.timestamp,
                question_id=delivery.question_id,
                own_id=delivery.own_id,
                asked_at=delivery.asked_at,
                model=delivery.model,
                program=delivery.program or "",
            )
            self._engine.handle(fetched, now)
            # A record may be delivered twice; its first job is at work.
            if record not in self.jobs and self._engine.owns(record):
                self.jobs[record] = self._begin(delivery)
                self._observe(fetched, self.jobs[record])
        batch.taken.set()

    # --- carrying out -------------------------------------------------------------------------

    def _start(self, command: facts.Start) -> None:
        record, job = command.record, self.jobs[command.record]
        run = asyncio.get_running_loop().create_task(self._run(record, job, command.attempt))
        self._runs[record] = run
        run.add_done_callback(partial(self._ran, record))

    async def _run(self, record: RecordId, job: J, attempt: int) -> None:
        """Tells by itself how it ended: a callback would be called a round of the event loop later,
        and its slot stand empty for as long.
        """
        ended: facts.Finished | facts.Failed | facts.Cancelled
        try:
            failure = await _failure_of(job, attempt)
        except asyncio.CancelledError:
            ended = facts.Cancelled(record)
        else:
            used = job.used
            ended = (
                facts.Finished(record, used)
                if failure is None
                else facts.Failed(record, failure, used)
            )
        del self._runs[record]
        self.tell(ended)

    def _ran(self, record: RecordId, run: "asyncio.Task[None]") -> None:
        """One that was cancelled before it began has told nothing."""
        if self._runs.get(record) is run:
            del self._runs[record]
            self.tell(facts.Cancelled(record))

    def _cancel(self, command: facts.Cancel) -> None:
        if (run := self._runs.get(command.record)) is not None:
            run.cancel()

    def _drop(self, command: facts.Drop) -> None:
        if (conclusion := self._conclusions.get(command.record)) is not None:
            conclusion.cancel()
        if (job := self.jobs.pop(command.record, None)) is not None:
            job.drop(cut_off=command.cut_off)

    def _publish_completion(self, command: facts.PublishCompletion) -> None:
        self._conclude(command.record, self.jobs[command.record].conclude("completed"))

    def _give_up(self, command: facts.GiveUp) -> None:
        conclusion = self.jobs[command.record].conclude(
            command.status, command.failure, dead_letter=command.dead_letter
        )
        self._conclude(command.record, conclusion)

    def _repeats(self, command: facts.PublishDuplicate) -> None:
        job = self.jobs[command.record]
        self._conclude(command.record, job.conclude("duplicate", first=command.first))

    def _conclude(self, record: RecordId, concluding: Coroutine[Any, Any, int | None]) -> None:
        conclusion = asyncio.get_running_loop().create_task(concluding)
        self._conclusions[record] = conclusion
        conclusion.add_done_callback(lambda conclusion: self._concluded(record, conclusion))

    def _concluded(self, record: RecordId, conclusion: "asyncio.Task[int | None]") -> None:
        del self._conclusions[record]
        if conclusion.cancelled():
            # By a release, to which this says nothing new; or by the client, which gave it up.
            self.tell(facts.PublishFailed(record))
            return
        if (error := conclusion.exception()) is None:
            self.tell(facts.Published(record, conclusion.result()))
            return
        # Its offset stays uncommitted: the partition stops here, and nothing is lost.
        unforeseen = None if isinstance(error, KafkaError) else error
        log.warning(
            "a completion was refused; it will be sent again", error=str(error), exc_info=unforeseen
        )
        self.tell(facts.PublishFailed(record))

    def _commit_soon(self, command: facts.Commit) -> None:
        self._spawn(self._commit(command))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work)
        self._commits.add(task)
        task.add_done_callback(self._commits.discard)
        task.add_done_callback(self._raise)
        return task

    def _raise(self, task: "asyncio.Task[None]") -> None:
        """What nobody foresaw, and fetching that has ended, end the loop."""
        if task.cancelled():
            self._inbox.put(KafkaError("the Kafka client gave up"))
        elif (error := task.exception()) is not None:
            self._inbox.put(error)

    async def _commit(self, command: facts.Commit) -> None:
        try:
            await self._source.commit(command.heads)
        except LostPartitionsError as error:
            log.info("not committed: the partitions are with others now", reason=str(error))
            self.tell(facts.CommitFailed())
        except CommitError as error:
            log.warning("not committed; it will be tried again", error=str(error))
            self.tell(facts.CommitFailed())
        else:
            self.tell(facts.Committed())

    def _begin_release(self, command: facts.Release) -> None:
        # Each release lets go on who waited for it: another one's commit may be under way.
        waiting, self._awaiting_release = self._awaiting_release, []
        self._spawn(self._release(command, waiting))

    async def _release(self, command: facts.Release, waiting: "list[asyncio.Future[None]]") -> None:
        try:
            committed = not command.heads or await self._commit_for_the_last_time(command.heads)
            self.tell(facts.Released(command.partitions, committed))
        finally:
            self._released += waiting
            if self._stop is not None:
                _go_on(waiting)

    async def _commit_for_the_last_time(self, heads: Mapping[int, Head]) -> bool:
        last_try = self._clock.monotonic() + LAST_SECONDS
        while True:
            try:
                await self._source.commit(heads)
            except LostPartitionsError as error:
                log.info("not committed: the partitions are with others", reason=str(error))
                return False
            except CommitError as error:
                # What it would have said the next owner finds in the completions.
                log.warning("the last commit of these partitions failed", error=str(error))
            else:
                return True
            if self._clock.monotonic() + LAST_PAUSE >= last_try:
                return False
            await asyncio.sleep(LAST_PAUSE)

    def _depart(self, _: facts.Depart) -> None:
        self._spawn(self._source.leave())

    def _stopping(self, command: facts.Stop) -> None:
        self._stop = command


async def _failure_of(job: Job, attempt: int) -> Failure | None:
    try:
        return await job.run(attempt)
    except asyncio.CancelledError:
        raise
    except BaseException as error:
        log.debug("a run failed in a way nobody foresaw", exc_info=error)
        return Failure(Kind.ANSWER, "unexpected_error", type(error).__name__)


def _go_on(waiting: "list[asyncio.Future[None]]") -> None:
    """The group may have these partitions."""
    for released in waiting:
        if not released.done():
            released.set_result(None)


class _Batch:
    def __init__(self, deliveries: Sequence[Any]) -> None:
        self.deliveries = deliveries
        self.taken = asyncio.Event()
