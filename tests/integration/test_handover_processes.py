"""Between two processes: what one runs goes on there, whoever has its partition next."""

import asyncio
import json

import pytest

from penstock import __version__
from tests.support.conversation import Conversation, conversation
from tests.support.kafka import Topics
from tests.support.service import settings_for
from tests.support.stage import stage
from tests.support.tracing import collector

SPEAKS = "held?token_ms=20&tokens=2000"
"""All the time, until it is let end."""

MODEL = "openai/moody"
ASSIGNED = "partitions assigned"


def _writers(talk: Conversation, question_id: str) -> set[str]:
    """Of its token events and its completion."""
    said = (*talk.tokens, *talk.completed)
    about = [record for record in said if record.body["question_id"] == question_id]
    return {record.header("ce_id").split("/")[3] for record in about}


async def test_a_question_outlives_the_membership_of_its_process(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    for topic in ("tokens", "completions", "dead-letters"):
        topics.create(topic)
    settings = settings_for(bootstrap_servers, topics, MODEL)
    logged: list[str] = []
    monkeypatch.setenv("OTEL_SERVICE_NAME", "answers")
    async with (
        stage(bootstrap_servers, topics) as on,
        # At the latest when they end, their spans are sent.
        collector(monkeypatch) as received,
    ):
        on.models.script["moody"] = lambda count, _: SPEAKS if count == 1 else "ok"
        async with (
            on.process(MODEL) as first,
            conversation(settings.kafka, settings.topics) as talk,
        ):
            first.hear(logged.append)
            await first.says(ASSIGNED)
            await talk.ask_all(["slow", "behind"], b"k")
            await talk.until(lambda: talk.said("slow"), bool)
            async with on.process(MODEL) as second:
                # It has the partition now or when the first has left.
                leaving = await first.says("partitions revoked")
                assert json.loads(leaving)["partitions"] == [0]
                ends = asyncio.create_task(first.terminate())
                await second.says(ASSIGNED)
                said = len(talk.said("slow"))
                await talk.until(lambda: talk.said("slow"), lambda now: len(now) > said + 1)
                assert len(on.models.calls) == 1

                on.models.let_end()
                assert await ends == 0
                await talk.completion("behind")
                # Only the group knows when it has the commit.
                while (await on.operator.commit()).offset < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
                assert await second.terminate() == 0
            await talk.to_the_end()
            assert [c.body["question_id"] for c in talk.completed] == ["slow", "behind"]
            assert {c.body["status"] for c in talk.completed} == {"completed"}
            said_of_it = talk.said("slow")
            assert [event["sequence"] for event in said_of_it] == list(range(len(said_of_it)))
            assert {event["attempt"] for event in said_of_it} == {1}
            assert "restart" not in {event["type"] for event in said_of_it}
            [by], [other] = _writers(talk, "slow"), _writers(talk, "behind")
            assert by != other
        [stopped] = [line for line in map(json.loads, logged) if line["event"] == "stopped"]
        assert (stopped["finished"], stopped["cut_off"]) == (1, 0)
        assert (await on.operator.commit()).offset == 2
    assert len(on.models.calls) == 2
    assert on.models.calls.disconnects == 0
    assert {said["service.instance.id"] for said in received.processes()} == {by, other}
    assert {said["service.name"] for said in received.processes()} == {"answers"}
    assert {said["service.version"] for said in received.processes()} == {__version__}
    names = sorted(span.name.split()[0] for span in received.spans)
    assert names == sorted(["process", "invoke_workflow", "chat", "send"] * 2)
