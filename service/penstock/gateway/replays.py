"""Which replays are there, how far are they, and how do their answers compare?"""

import asyncio
from contextlib import aclosing
from typing import Any

import orjson
import structlog
from aiokafka.errors import KafkaError as ClientError

from penstock.errors import ConfigurationError, KafkaError
from penstock.gateway.problem import ProblemError
from penstock.gateway.reach import Reach, Reached, in_problems
from penstock.kafka.rights import READ
from penstock.replay import store
from penstock.replay.comparing import Found, comparable, compared, told
from penstock.replay.figures import Figures
from penstock.replay.pairs import CrowdedError, Room
from penstock.replay.plan import KEY, Plan, decode
from penstock.replay.replayed import planned

LISTED = 100
"""The last ones."""
FOLLOWED = 20
"""Of these, the ones of which it is looked how far they are."""

SECONDS = 30.0
"""That a comparison may take; what was compared by then is told."""
ROOM = 64 * 1024 * 1024
"""Bytes of what waits for its other half, as where the replay is not far yet."""
SHOWN_BYTES = 4 * 1024 * 1024
"""Of the answers that are shown, at most, and one more."""

log = structlog.get_logger("penstock.gateway")


class Replays:
    """Args:
    reach: to Kafka.
    originals: the topic of the completions that were first.
    """

    def __init__(self, reach: Reach, originals: str) -> None:
        self._reach = reach
        self._originals = originals
        self._comparing = False

    async def latest(self) -> list[dict[str, Any]]:
        """The newest first. Raises ProblemError: they cannot be read."""
        async with self._reach.kafka({self._reach.topics.control: [READ]}) as kafka:
            plans = store.latest(await self._reach.control(kafka.reader), LISTED)
            progress = [await _progress(kafka, plan) for plan in plans[:FOLLOWED]]
        progress += [None] * (len(plans) - len(progress))
        return [_row(plan, done) for plan, done in zip(plans, progress, strict=True)]

    async def compare(self, name: str, limit: int) -> bytes:
        """As JSON, with so many of the questions whose answers are not equal.

        Raises:
            ProblemError: there is no such replay (404); another comparison runs (429); it cannot
                be read.
        """
        if self._comparing:
            raise ProblemError(
                429,
                "comparison_runs",
                "another comparison runs here, and it reads much: try again in a moment",
                headers={"Retry-After": "5"},
            )
        self._comparing = True
        try:
            found = await self._found(name)
            with in_problems(found.by[1].topic):
                return await self._compared(found, limit)
        finally:
            self._comparing = False

    async def _found(self, name: str) -> Found:
        topics = self._reach.topics
        async with self._reach.kafka({topics.control: [READ]}) as kafka:
            said = (await self._reach.control(kafka.reader)).get(f"{KEY}{name}")
            if said is None:
                raise ProblemError(
                    404, "unknown_replay", f"the control topic knows no replay {name!r}"
                )
            plan = decode(said.value)
        wanted = dict.fromkeys((plan.completions, self._originals, plan.questions), (READ,))
        async with self._reach.kafka(wanted) as kafka:
            meant = await kafka.reader.whole(plan.places)
        return comparable(planned(plan), plan, self._originals, meant)

    async def _compared(self, found: Found, limit: int) -> bytes:
        figures, shown, more, size = Figures(), list[bytes](), 0, 0
        cut_off = None
        questions = compared(self._reach.client, self._reach.clock, found, room=Room(ROOM))
        try:
            async with asyncio.timeout(SECONDS) as timeout, aclosing(questions):
                async for one in questions:
                    if one is None:
                        figures.not_replayed += 1
                        continue
                    figures.add(one)
                    if one.outcome == "equal":
                        continue
                    if len(shown) < limit and size < SHOWN_BYTES:
                        shown.append(orjson.dumps(told(one)))
                        size += len(shown[-1])
                    else:
                        more += 1
        except CrowdedError:
            cut_off = "memory"
        except TimeoutError:
            if not timeout.expired():
                raise
            cut_off = "time"
        summary = {"type": "summary", "replay": found.replay, **figures.summary()}
        return orjson.dumps(
            {
                "summary": summary,
                "questions": [orjson.Fragment(one) for one in shown],
                "more": more,
                "cut_off": cut_off,
            }
        )


async def _progress(kafka: Reached, plan: Plan) -> dict[str, Any] | None:
    """None: nobody tells us, as without a right on its group."""
    try:
        now = await store.standing(kafka.connection, plan)
    except (ClientError, ConfigurationError, KafkaError, TimeoutError) as error:
        log.info("how far a replay is cannot be seen", replay=plan.id, reason=str(error))
        return None
    return {"done": now.done, "over": now.over}


def _row(plan: Plan, progress: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "id": plan.id,
        "created_at": plan.created_at,
        "questions": plan.questions,
        "completions": plan.completions,
        "program": plan.program,
        "model": plan.model,
        "total": plan.records,
        "progress": progress,
    }
