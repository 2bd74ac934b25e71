"""The previous release: what it has committed, and its members in the same group."""

import asyncio
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest

from penstock.local.prompt import ChatRequest
from tests.support.command import member_environment
from tests.support.conversation import Conversation, conversation
from tests.support.kafka import Topics
from tests.support.service import settings_for
from tests.support.stage import Stage, stage

PREVIOUS_RELEASE = "02891c3f754d4c208de684321c0968d754e637e8"

COMMITTED = 100
SAID_BY_VERSION_1 = (
    '{"penstock":1,"writer":"0123456789ab","done":"b1_S","bookmark":[0,1],"clean":true,"runs":[]}'
)
"""101, 102 and 110 are done."""

MODEL = "openai/moody"
HELD = "held?token_ms=20&tokens=2000"
WAITS = "a later release wrote the last commit; it may end"
"""What the previous release does not know it does not start."""

ROOT = Path(__file__).parents[2]


async def test_what_the_previous_release_has_committed_is_gone_on_from(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving("openai/ok", kafka={"group_id": topics.name("other")}) as (_, talk):
            await talk.ask_all([f"q{number}" for number in range(112)])
            await talk.completions(112)
        await on.operator.reset(COMMITTED, SAID_BY_VERSION_1)

        async with on.serving() as (_, talk):
            await talk.completions(112 + 9)
            await talk.to_the_end()
            done = [
                completion.asked[1]
                for completion in talk.completed
                if completion.body["source"]["group"] == topics.name("group")
            ]
            assert sorted(done) == [100, *range(103, 110), 111]
        assert (await on.operator.commit()).offset == 112


@pytest.fixture(scope="session")
def previous_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its source."""
    folder = tmp_path_factory.mktemp("previous")
    known = subprocess.run(
        ["git", "-C", ROOT, "archive", PREVIOUS_RELEASE, "service"],
        capture_output=True,
        check=False,
    )
    if known.returncode:
        pytest.skip("the history of this checkout does not go back so far")
    subprocess.run(["tar", "-x", "-C", folder], input=known.stdout, check=True)
    return folder / "service"


@asynccontextmanager
async def _previous(
    on: Stage, release: Path, drain_ms: int
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A member, until the end of the block at the latest."""
    env = member_environment(settings_for(on.servers, on.topics, MODEL, on.models.api_base))
    # It knows none.
    del env["PENSTOCK_TOPICS__CONTROL"]
    # So long, and a margin, it waits for what a later release may still run.
    env["PENSTOCK_DRAIN_MS"] = str(drain_ms)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_", "KAFKA_"))}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from penstock import cli; cli.main()",
        "serve",
        env={**inherited, **env, "PYTHONPATH": str(release)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def _says(process: asyncio.subprocess.Process, words: str) -> None:
    assert process.stderr is not None
    while words.encode() not in (line := await process.stderr.readline()):
        assert line, f"it ended, and did not say {words!r}"


@pytest.mark.time_limit(180)
async def test_members_of_the_previous_release_come_and_go(
    bootstrap_servers: str, topics: Topics, previous_release: Path
) -> None:
    """To the new release, and back to the one before; questions run all the time."""
    asked: list[str] = []
    for topic in ("tokens", "completions", "dead-letters"):
        topics.create(topic, 2)
    async with (
        stage(bootstrap_servers, topics, partitions=2) as on,
        _previous(on, previous_release, drain_ms=5_000) as old,
    ):

        def moody(_: int, request: ChatRequest) -> str:
            return HELD if request.question.startswith("long") else "ok"

        on.models.script["moody"] = moody

        async def ask(talk: Conversation, partitions: Iterable[int] = (0, 1)) -> None:
            """In each one that runs until it is let end, and one behind it."""
            for partition in partitions:
                long, behind = f"long {len(asked)}", f"behind {len(asked)}"
                asked.extend((long, behind))
                await talk.ask_all([long, behind], b"k", partition)
                await talk.until(partial(talk.said, long), bool)

        async def let_end_when(process: asyncio.subprocess.Process, says: str) -> None:
            await _says(process, says)
            on.models.let_end()

        await _says(old, "partitions assigned")
        settings = settings_for(bootstrap_servers, topics, MODEL)
        async with conversation(settings.kafka, settings.topics) as talk:
            await ask(talk)
            # In the previous release the group waits for what runs.
            ending = asyncio.create_task(let_end_when(old, "partitions revoked"))
            async with on.member(MODEL, drain_ms=30_000) as new:
                await ending
                await ask(talk)
                old.terminate()
                await let_end_when(old, "draining")
                assert await old.wait() == 0
                await talk.completions(len(asked))
                await ask(talk)

                async with _previous(on, previous_release, drain_ms=1_000) as back:
                    await let_end_when(back, WAITS)
                    await _says(back, "partitions assigned")
                    await talk.completions(len(asked))
                    # What the previous release runs in a rebalance, the group waits for.
                    await ask(talk, [*new.engine.partitions])
                    new.drain()
                    await let_end_when(back, WAITS)
                    await _says(back, "partitions assigned")
                    await talk.completions(len(asked))
                    await talk.to_the_end()
                    back.terminate()
                    assert await back.wait() == 0
            completed = Counter(c.body["question_id"] for c in talk.completed)
            assert completed == Counter(asked)
            for question in asked:
                said = talk.said(question)
                assert [event["sequence"] for event in said] == list(range(len(said)))
        commits = [await on.operator.commit(partition) for partition in (0, 1)]
        assert sum(commit.offset for commit in commits) == len(asked)
        assert len(on.models.calls) == len(asked)
        assert on.models.calls.disconnects == 0
