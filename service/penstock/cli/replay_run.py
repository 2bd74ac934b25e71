"""One machine's part in a replay: the service, until all of the plan is done."""

import asyncio
import logging
import os
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import uvloop
from aiokafka.errors import KafkaError as ClientError

from penstock import settings
from penstock.cli import replay_show
from penstock.cli.connecting import Way
from penstock.cli.progress import bar
from penstock.cli.reading import tell, told
from penstock.cli.replay_begin import Wishes, draw
from penstock.clock import Clock
from penstock.core import facts
from penstock.core.failure import Failure
from penstock.errors import ConfigurationError, KafkaError, PenstockError
from penstock.kafka.admin import admin
from penstock.kafka.security import client_arguments
from penstock.kafka.stretch import reader
from penstock.program.hops import Loop
from penstock.replay import store
from penstock.replay.plan import Plan
from penstock.replay.progress import Progress, Speed, pace
from penstock.replay.settings import for_replay
from penstock.settings import Settings
from penstock.settings.secrets import hiding
from penstock.telemetry import logs

if TYPE_CHECKING:
    from penstock.app import Service
    from penstock.job import Job

LOOK_SECONDS = 1.0
"""Between two looks at how far all have come."""
BEAT_SECONDS = 5.0
"""Between two lines where there is no terminal."""

_AWAY = (ClientError, PenstockError, TimeoutError, OSError)
"""Kafka does not answer: it is asked again."""

DONE, FAILED, PARTLY, STOPPED = 0, 1, 3, 130


def begin(way: Way, wishes: Wishes, slots: int | None, output: str, *, execute: bool) -> int:
    """The exit code."""
    loaded, client = _loaded(way)
    as_json = output == "json"
    with told():
        drawn = uvloop.run(draw(loaded, client, wishes, look=not execute))
    plan = drawn.plan
    if wishes.program is not None or wishes.model is not None:
        for_replay(loaded, plan)
    if not plan.parts:
        tell("nothing of the range is to be replayed")
    if not execute or not plan.parts:
        replay_show.dry(drawn, as_json=as_json)
        return DONE
    own = for_replay(loaded, plan, slots)
    _load_programs(own)

    async def publish() -> None:
        await store.publish(client, loaded.topics.control, plan, Clock())

    with told():
        uvloop.run(publish())
    tell(f"replay {plan.id}: to join it, {_join(plan)}")
    return _work(own, client, plan, as_json=as_json)


def resume(way: Way, name: str, slots: int | None, output: str, *, execute: bool) -> int:
    """The exit code."""
    loaded, client = _loaded(way)
    as_json = output == "json"

    async def look() -> tuple[Plan, Progress]:
        plan = await store.load(client, loaded.topics.control, name, Clock())
        async with admin(client) as connection:
            now = await store.standing(connection, plan)
        if not now.over:
            async with reader(client, Clock()) as topics:
                plan.check_log(await topics.whole(plan.places))
        return plan, now

    with told():
        plan, now = uvloop.run(look())
    if not execute or now.over:
        replay_show.standing(plan, now, as_json=as_json)
        return DONE
    tell(f"replay {name}: {now.done:,} of {plan.records:,} done so far")
    return _work(for_replay(loaded, plan, slots), client, plan, as_json=as_json)


def _loaded(way: Way) -> tuple[Settings, dict[str, Any]]:
    loaded = settings.load(kafka=way.flags())
    # What matters of the connection we say ourselves.
    logs.configure("error", hide=hiding(loaded))
    return loaded, client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)


def _load_programs(own: Settings) -> None:
    """Before there is a plan: one that nobody can work on should not be.

    Raises:
        ConfigurationError: names the program or the model that cannot be used.
    """
    from penstock.assembly import load_programs

    load_programs(own)


def _join(plan: Plan) -> str:
    return f"penstock replay --resume {plan.id} --execute"


class _Watch:
    """Sees how far all members have come, and ends our part when all is done."""

    def __init__(self, client: dict[str, Any], plan: Plan) -> None:
        self.now = Progress(0, plan.records, frozenset(plan.selections))
        self.here: Counter[str] = Counter()
        self._client = client
        self._plan = plan
        self._clock = Clock()
        self._began = self._clock.monotonic()

    @property
    def seconds(self) -> float:
        return self._clock.monotonic() - self._began

    def saw(self, fact: facts.Event | facts.Command, job: "Job | None") -> None:
        """Of this process."""
        if isinstance(fact, facts.Published) and job is not None:
            self.here[job.status or "?"] += 1

    async def follow(self, running: "Service", show: Callable[[Progress], None]) -> None:
        while not self.now.over:
            with suppress(*_AWAY):
                async with admin(self._client) as connection:
                    while not self.now.over:
                        self.now = await store.standing(connection, self._plan)
                        ours = pace(self._plan, self.now, running.engine.partitions)
                        running.loop.tell(facts.Paced(ours))
                        show(self.now)
                        await asyncio.sleep(LOOK_SECONDS * (not self.now.over))
            if not self.now.over:
                await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Once more, at the end: the last commits say more."""
        with suppress(*_AWAY):
            async with admin(self._client) as connection:
                self.now = await store.standing(connection, self._plan)


def _work(own: Settings, client: dict[str, Any], plan: Plan, *, as_json: bool) -> int:
    # DSPy takes two seconds to import.
    from penstock import app

    watch = _Watch(client, plan)

    async def work() -> None:
        with bar() as drawn:
            # What is logged goes above the bar; of what goes well the bar tells.
            level = "warning" if own.log_level == "info" else own.log_level
            logs.configure(level, hide=hiding(own))
            logs.tell_what_nobody_catches()
            code = await _served(app, own, plan, watch, _shown(drawn, plan))
        replay_show.ended(plan, watch.now, watch.here, watch.seconds, as_json=as_json)
        if code == STOPPED:
            tell(f"stopped; to go on: {_join(plan)}")
        logging.shutdown()
        sys.stdout.flush()
        sys.stderr.flush()
        # As `penstock serve`: a thread of a program may go on for minutes.
        os._exit(code)

    uvloop.run(work(), loop_factory=Loop)
    raise AssertionError("it has exited")


async def _served(
    app: Any, own: Settings, plan: Plan, watch: _Watch, show: Callable[[Progress], None]
) -> int:
    following: list[asyncio.Task[None]] = []
    hide = hiding(own)

    def started(running: "Service") -> None:
        task = asyncio.ensure_future(watch.follow(running, show))
        # All is done; or nobody will ever know.
        task.add_done_callback(lambda _: None if running.draining else running.drain())
        following.append(task)

    try:
        with told():
            failure: Failure | None = await app.serve(own, started, plan, watch.saw)
        await watch.look()
        for task in following:
            if task.done():
                task.result()
    except ConfigurationError as error:
        tell(hide(str(error)))
        return 2
    except KafkaError as error:
        tell(hide(f"stopped: {error}"))
        return FAILED
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)
    if failure is not None:
        why = hide(f"{failure.kind} {failure.code}: {failure.message}")
        tell(f"stopped: {why}; see to it, then go on: {_join(plan)}")
        return FAILED
    if not watch.now.over:
        return STOPPED
    return PARTLY if watch.here["failed"] or watch.here["expired"] else DONE


def _shown(drawn: Any, plan: Plan) -> Callable[[Progress], None]:
    task = drawn.add_task(f"Replay {plan.id}", total=plan.records)
    speed, clock = Speed(), Clock()
    said = clock.monotonic()

    def show(now: Progress) -> None:
        nonlocal said
        drawn.update(task, completed=now.done)
        moment = clock.monotonic()
        speed.saw(now.done, moment)
        if drawn.disable and moment - said >= BEAT_SECONDS:
            said = moment
            replay_show.beat(plan, now, speed.per_second)

    return show
