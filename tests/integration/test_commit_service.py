"""What holds a commit back, and what nobody knows whether it has arrived."""

import asyncio
from collections import Counter
from typing import Any

import pytest
from aiokafka.protocol.produce import ProduceRequest

from penstock import loop
from penstock.errors import KafkaError, PublishError, UnknownOutcomeError
from penstock.events.completion import Completion
from penstock.kafka.codec import Delivery
from penstock.kafka.lookup import Lookup
from penstock.kafka.sink import KafkaSink
from penstock.telemetry import journal
from tests.support.conversation import Conversation
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.operating import Commits, commits
from tests.support.stage import sample, stage

# pytest finds fixtures by their names in this module.
__all__ = ["commits"]

OLDEST = 'penstock_oldest_unresolved_seconds{partition="0"}'
IDS = ["first", "second", "third"]


async def test_who_holds_back_the_commits_is_told(
    bootstrap_servers: str, topics: Topics, commits: Commits, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, journal)
    often = {"interval_ms": 20, "held_back_ms": 100}
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = lambda _, request: (
            "hang-before" if request.question == "slow" else "ok"
        )
        async with on.serving("openai/moody", commit=often) as (service, talk):
            await talk.ask_all(IDS)
            await talk.completions(3)
            await commits.until(lambda head: head.offset == 3)
            assert await sample(service, OLDEST) == 0
            await talk.ask_all(["slow"], timeout_ms=600)
            await on.models.called(4)
            # Time goes on with the commits, and there is one when something is done.
            line: dict[str, Any] | None = None
            number = 0
            while line is None:
                number += 1
                await talk.ask_all([f"quick {number}"])
                await talk.completion(f"quick {number}")
                line = next(iter(heard.said("a question holds back")), None)
            assert (line["level"], line["question_id"]) == ("warning", "slow")
            assert (line["partition"], line["offset"]) == (0, 3)
            assert line["outstanding"] >= 1
            assert await sample(service, OLDEST) >= 0.1
            assert (await on.operator.commit()).offset == 3

            assert (await talk.completion("slow"))["status"] == "expired"
            await commits.until(lambda head: head.offset == 4 + number)
            assert await sample(service, OLDEST) == 0
        # Each is named once.
        assert len(heard.said("a question holds back")) == 1


async def _each_once(talk: Conversation) -> None:
    await talk.completions(3)
    await talk.ask_all(["last"], key=b"k")
    await talk.completion("last")
    await talk.to_the_end()
    assert Counter(c.body["question_id"] for c in talk.completed) == Counter([*IDS, "last"])


async def test_a_completion_that_landed_is_not_sent_again(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, loop)
    sent: list[str] = []
    publish = KafkaSink.completion

    async def unheard(sink: KafkaSink, delivery: Delivery, completion: Completion) -> int | None:
        position = await publish(sink, delivery, completion)
        sent.append(delivery.question_id)
        if delivery.question_id == "second":
            raise UnknownOutcomeError("given up")
        return position

    monkeypatch.setattr(KafkaSink, "completion", unheard)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (_, talk):
            await talk.ask_all(IDS, key=b"k")
            await _each_once(talk)
        assert sent == [*IDS, "last"]
        assert len(heard.said("a completion was refused")) == 1
        assert (await on.operator.commit()).offset == 4
        assert len(on.models.calls) == 4


async def test_a_dead_letter_that_landed_is_not_written_again(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, loop)
    bury = KafkaSink.dead_letter

    async def unheard(sink: KafkaSink, *arguments: Any) -> int | None:
        await bury(sink, *arguments)
        raise UnknownOutcomeError("given up")

    monkeypatch.setattr(KafkaSink, "dead_letter", unheard)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (_, talk):
            await talk.ask("not JSON", key=b"k")
            [completion] = await talk.completions(1)
            assert completion.body["dead_letter"] == {"topic": talk.topics.dead_letters}
            await talk.to_the_end()
            assert [letter.value for letter in talk.dead] == [b"not JSON"]
        assert len(heard.said("a completion was refused")) == 1
        assert (await on.operator.commit()).offset == 1


@pytest.mark.parametrize("error", [UnknownOutcomeError, PublishError])
async def test_a_completion_that_did_not_land_is_sent_again(
    bootstrap_servers: str,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    error: type[PublishError],
) -> None:
    errors = [error("no")]
    publish, found = KafkaSink.completion, Lookup.completion
    looks: list[int | None] = []

    async def refused(sink: KafkaSink, delivery: Delivery, completion: Completion) -> int | None:
        if delivery.question_id == "second" and errors:
            raise errors.pop()
        return await publish(sink, delivery, completion)

    async def looked(lookup: Lookup, *arguments: Any) -> int | None:
        looks.append(await found(lookup, *arguments))
        return looks[-1]

    monkeypatch.setattr(KafkaSink, "completion", refused)
    monkeypatch.setattr(Lookup, "completion", looked)
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving() as (_, talk):
            await talk.ask_all(IDS, key=b"k")
            await _each_once(talk)
        assert looks == ([None] if error is UnknownOutcomeError else [])
        assert len(on.models.calls) == 4


async def test_as_long_as_nobody_can_look_nothing_is_sent_again(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, loop)
    publish, find = KafkaSink.completion, Lookup.completion
    blind = [KafkaError("cannot be read")]

    async def unheard(sink: KafkaSink, delivery: Delivery, completion: Completion) -> int | None:
        position = await publish(sink, delivery, completion)
        if delivery.question_id == "second":
            raise UnknownOutcomeError("given up")
        return position

    async def looks(lookup: Lookup, *arguments: Any) -> int | None:
        if blind:
            raise blind.pop()
        return await find(lookup, *arguments)

    monkeypatch.setattr(KafkaSink, "completion", unheard)
    monkeypatch.setattr(Lookup, "completion", looks)
    async with stage(bootstrap_servers, topics) as on, on.serving() as (_, talk):
        await talk.ask_all(IDS, key=b"k")
        await _each_once(talk)
        assert len(heard.said("a completion was refused")) == 2


async def test_a_request_without_an_answer_holds_up_no_end(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = asyncio.Event()
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving(drain=False) as (service, talk):
            producer = service.sink._producer._client
            send = producer.client.send

            async def unheard(node: int, request: Any, **named: Any) -> Any:
                if isinstance(request, ProduceRequest):
                    sent.set()
                    await asyncio.get_running_loop().create_future()
                return await send(node, request, **named)

            monkeypatch.setattr(producer.client, "send", unheard)
            await talk.ask_all(["first"])
            await sent.wait()
        # It is not waited for, nor left behind.
        assert producer._sender.sender_task.done()
