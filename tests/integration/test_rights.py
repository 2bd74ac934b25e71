"""The rights that the README lists, given by the commands that stand there: they are enough, and
none of them can be spared.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import TopicAuthorizationFailedError

from penstock import app, settings
from penstock.clock import Clock
from penstock.errors import ConfigurationError, KafkaError
from penstock.gateway.server import serving
from penstock.kafka import admin, control, rights_watch
from penstock.kafka.admin import prepare
from penstock.kafka.security import client_arguments
from penstock.kafka.topic_rules import UNSEEN_LIMIT
from penstock.settings import GatewaySettings, KafkaSettings, Settings, TopicSettings
from tests.support.command import model_environment, penstock
from tests.support.conversation import Conversation, conversation
from tests.support.guarded import PREFIXED, Guarded, Right, guarded, told
from tests.support.hearing import hear
from tests.support.kafka import Call, entered
from tests.support.model_server import ModelServer, model_server
from tests.support.service import configurable, needing, running

SERVICE = [
    Right("penstock", "group", "penstock", "Read"),
    *(
        Right("penstock", "topic", f"penstock.{topic}", "Read")
        for topic in ("questions", "tokens", "completions", "dead-letters", "control")
    ),
    *(
        Right("penstock", "topic", f"penstock.{topic}", "Write")
        for topic in ("tokens", "completions", "dead-letters", "control")
    ),
]
ASKER = [
    Right("asker", "topic", "penstock.questions", "Write"),
    Right("asker", "topic", "penstock.tokens", "Read"),
    Right("asker", "topic", "penstock.completions", "Read"),
]
READER = [
    Right("reader", "topic", "penstock.tokens", "Read"),
    Right("reader", "topic", "penstock.completions", "Read"),
]
OPERATOR = [Right("operator", "topic", "penstock.control", "Write")]
REDRIVER = [
    Right("operator", "topic", "penstock.dead-letters", "Read"),
    Right("operator", "topic", "penstock.dead-letters", "Delete"),
    Right("operator", "topic", "penstock.questions", "Write"),
    Right("operator", "topic", "penstock.control", "Read"),
    Right("operator", "group", "penstock.redrive.", "Read", PREFIXED),
    Right("operator", "transactional-id", "penstock.redrive.", "Write", PREFIXED),
]
WATCHER = [
    Right("watcher", "group", "penstock", "Describe"),
    Right("watcher", "topic", "penstock.questions", "Describe"),
    Right("watcher", "topic", "penstock.dead-letters", "Describe"),
    Right("watcher", "topic", "penstock.control", "Read"),
]
MORE = [
    Right("penstock", "topic", "penstock.", operation, PREFIXED)
    for operation in ("Create", "DescribeConfigs")
]
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def kafka(session_loop: Call) -> Iterator[Guarded]:
    """With what the README grants first; its topics are there."""

    @asynccontextmanager
    async def prepared() -> AsyncIterator[Guarded]:
        async with guarded() as kafka:
            await prepare(client_arguments(kafka.servers, {}), needing(TopicSettings(partitions=1)))
            granted = await kafka.grant_as_told(told()[0])
            assert granted == {*SERVICE, *ASKER, *READER, *OPERATOR, *WATCHER}
            yield kafka

    with entered(prepared(), session_loop) as kafka:
        yield kafka


@pytest.fixture
def without(kafka: Guarded, session_loop: Call, request: pytest.FixtureRequest) -> Iterator[Right]:
    """One right is taken away for the test."""
    right: Right = request.param
    session_loop(kafka.take(right))
    yield right
    session_loop(kafka.give(right))


def each(rights: list[Right]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("without", rights, ids=str, indirect=True)


def _says(right: Right) -> str:
    return (
        f"{right.kind} {right.name!r} lacks the right {right.operation}; grant: kafka-acls.sh "
        f"--add --allow-principal User:{right.user} --operation {right.operation} "
        f"--{right.kind} {right.name}"
    )


async def test_a_service_with_these_rights_answers_dead_letters_cancels_and_goes_on(
    kafka: Guarded,
) -> None:
    async with model_server() as models, _talk(kafka) as talk:
        async with running(_settings(kafka, models)):
            await talk.ask({"id": "bad"})
            await talk.ask({"id": "good", "question": "Why?"})
            assert (await talk.completion("good"))["status"] == "completed"
            assert (await talk.completion("bad"))["status"] == "failed"
            assert len(await talk.dead_letters(1)) == 1
            assert (await talk.ended("good"))[-1]["status"] == "completed"
        await _operate(kafka)
        # What is done it finds by the commit and the completions.
        async with running(_settings(kafka, models)):
            await talk.ask({"id": "unwanted", "question": "Why?"}, timestamp_ms=1)
            await talk.ask({"id": "more", "question": "Why?"})
            assert (await talk.completion("more"))["status"] == "completed"
            assert (await talk.completion("unwanted"))["status"] == "cancelled"
        assert len(talk.completed) == 4


@each(SERVICE)
async def test_without_one_of_them_the_service_does_not_start(
    kafka: Guarded, without: Right
) -> None:
    async with model_server() as models:
        with pytest.raises(ConfigurationError) as caught:
            async with running(_settings(kafka, models)):
                pass
    assert str(caught.value) == says(without)


async def test_as_a_command_that_is_one_line_and_exit_code_2(
    kafka: Guarded, session_loop: Call
) -> None:
    right = Right("penstock", "topic", "penstock.tokens", "Write")
    session_loop(kafka.take(right))
    env = kafka.environment("penstock") | model_environment("openai/ok", "http://localhost:1")
    ended = await penstock("serve", env=env)
    session_loop(kafka.give(right))
    assert (ended.code, ended.stderr) == (2, f"penstock: {says(right)}\n")


@pytest.mark.parametrize("right", SERVICE, ids=str)
async def test_one_that_is_taken_away_ends_a_running_service_that_names_it(
    kafka: Guarded, session_loop: Call, monkeypatch: pytest.MonkeyPatch, right: Right
) -> None:
    monkeypatch.setattr(rights_watch, "EVERY", 0.1)
    monkeypatch.setattr(rights_watch, "AGAIN", 0.1)
    configurable()
    async with model_server() as models, app.service(_settings(kafka, models)) as service:
        await asyncio.to_thread(session_loop, kafka.take(right))
        try:
            with pytest.raises(KafkaError) as caught:
                async with asyncio.timeout(PATIENCE_S):
                    await service.run()
        finally:
            await asyncio.to_thread(session_loop, kafka.give(right))
    assert f"{right.kind} {right.name!r} lacks the right {right.operation}" in str(caught.value)


async def test_without_a_look_at_the_settings_of_topics_it_says_so_once_and_serves(
    kafka: Guarded, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = hear(monkeypatch, admin)
    async with model_server() as models, running(_settings(kafka, models)) as service:
        assert service.sink.completions.limit == UNSEEN_LIMIT
    [line] = heard.lines
    assert "lack the right DescribeConfigs" in line["event"]


async def test_who_checks_needs_no_more_than_the_service(kafka: Guarded) -> None:
    async with model_server() as models:
        env = kafka.environment("penstock") | model_environment("openai/ok", models.api_base)
        ended = await penstock("check", env=env)
    assert (ended.code, ended.stderr) == (0, "penstock: 1 warning\n")
    levels = [line.split()[0] for line in ended.stdout.splitlines()]
    assert levels == ["ok"] * 3 + ["warning"] + ["ok"] * 6 + ["skipped"] * 2
    assert "answers over SASL_PLAINTEXT as 'penstock'" in ended.stdout


async def test_who_may_do_nothing_is_told_all_that_lacks(kafka: Guarded) -> None:
    env = kafka.environment("operator") | model_environment("openai/ok", "http://localhost:1")
    ended = await penstock("check", "--no-model", env=env)
    assert (ended.code, ended.stderr) == (1, "penstock: 6 wrong, 1 warning\n")
    told = [line for line in ended.stdout.splitlines() if line.startswith("wrong")]
    assert sum("lacks the rights Read and Write; grant" in line for line in told) == 3
    assert sum("lacks the right Read; grant" in line for line in told) == 3


async def test_who_looks_after_the_topics_is_told_which_rights_lack(
    kafka: Guarded, session_loop: Call
) -> None:
    operator, service = kafka.environment("operator"), kafka.environment("penstock")
    ended = await penstock("topics", "describe", env=operator)
    assert (ended.code, ended.stdout) == (2, "")
    [line] = ended.stderr.splitlines()
    assert "topic 'penstock.questions' lacks the rights Describe and DescribeConfigs" in line

    hidden = await penstock("topics", "check", env=service)
    assert (hidden.code, hidden.stderr) == (1, "penstock: 5 wrong\n")
    assert hidden.stdout.count("lacks the right DescribeConfigs; grant") == 5
    sees = Right("penstock", "topic", "penstock.", "DescribeConfigs", PREFIXED)
    await asyncio.to_thread(session_loop, kafka.give(sees))
    try:
        longer = {"PENSTOCK_DEADLINE__MAX_MS": str(10**9)}
        ended = await penstock("topics", "create", "--alter", env=service | longer)
    finally:
        await asyncio.to_thread(session_loop, kafka.take(sees))
    assert ended.code == 1
    wanted = Right("penstock", "topic", "penstock.tokens", "AlterConfigs")
    lacks = says(wanted).removeprefix("topic 'penstock.tokens' ")
    assert f"penstock: topic 'penstock.tokens': {lacks}" in ended.stderr.splitlines()


async def test_with_two_more_rights_it_creates_its_topics(
    kafka: Guarded, session_loop: Call
) -> None:
    granted = await asyncio.to_thread(session_loop, kafka.grant_as_told(told()[1]))
    assert granted == set(MORE)
    try:
        names = TopicSettings(dead_letters="penstock.dead")
        own = [Right("penstock", "topic", "penstock.dead", word) for word in ("Read", "Write")]
        for right in own:
            await asyncio.to_thread(session_loop, kafka.give(right))
        client = client_arguments(kafka.secured, kafka.client("penstock"))
        asked = replace(needing(names), group="penstock", user="penstock")
        for right in MORE:
            await asyncio.to_thread(session_loop, kafka.take(right))
            with pytest.raises(ConfigurationError, match=f"right {right.operation}"):
                await prepare(client, asked)
            await asyncio.to_thread(session_loop, kafka.give(right))
        topics = await prepare(client, asked)
        assert topics.dead_letters.limit > topics.completions.limit
    finally:
        for right in (*MORE, *own):
            await asyncio.to_thread(session_loop, kafka.take(right))


async def test_who_redrives_and_purges_needs_each_of_these(
    kafka: Guarded, session_loop: Call
) -> None:
    granted = await asyncio.to_thread(session_loop, kafka.grant_as_told(told()[2]))
    assert granted == set(REDRIVER)
    env = kafka.environment("operator")
    redrive = ("dlq", "redrive", "--execute")
    purge = ("dlq", "purge", "--before", "end", "--execute")
    try:
        async with (
            model_server() as models,
            _talk(kafka) as talk,
            running(_settings(kafka, models)),
        ):
            await talk.ask({"id": "again"})
            assert (await talk.completion("again"))["status"] == "failed"
            for right in REDRIVER:
                await asyncio.to_thread(session_loop, kafka.take(right))
                command = purge if right.operation == "Delete" else redrive
                ended = await penstock(*command, env=env)
                assert (ended.code, ended.stdout) == (2, ""), ended.stderr
                says_ = f"lacks the right {right.operation}; grant: kafka-acls.sh"
                assert says_ in ended.stderr, right
                assert f"--{right.kind} {right.name}" in ended.stderr, right
                await asyncio.to_thread(session_loop, kafka.give(right))
            ended = await penstock(*redrive, env=env)
            assert (ended.code, ended.stderr) == (0, "")
        ended = await penstock(*purge, env=env)
        assert (ended.code, ended.stderr) == (0, "")
    finally:
        for right in REDRIVER:
            await asyncio.to_thread(session_loop, kafka.take(right))


async def test_who_asks_gets_an_answer(kafka: Guarded) -> None:
    async with model_server() as models, running(_settings(kafka, models)):
        ended = await penstock("ask", "Why?", env=kafka.environment("asker"))
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout


@each(ASKER)
async def test_without_one_of_them_nobody_asks(kafka: Guarded, without: Right) -> None:
    ended = await penstock("ask", "Why?", env=kafka.environment("asker"))
    assert (ended.code, ended.stderr) == (2, f"penstock: {says(without)}\n")


@pytest.mark.parametrize("command", [["cancel", "some"], ["pause"], ["resume"]], ids=" ".join)
async def test_an_operator_cancels_pauses_and_resumes(
    kafka: Guarded, session_loop: Call, command: list[str]
) -> None:
    env = kafka.environment("operator")
    ended = await penstock(*command, env=env)
    # What else is paused only who may read can know; it goes on all the same.
    not_told = "not known: topic 'penstock.control' lacks the right Read; grant: "
    assert (ended.code, not_told in ended.stderr) == (0, command == ["resume"])
    assert ended.stderr.count("\n") == (command == ["resume"])
    [right] = OPERATOR
    session_loop(kafka.take(right))
    ended = await penstock(*command, env=env)
    session_loop(kafka.give(right))
    assert (ended.code, ended.stderr) == (2, f"penstock: {says(right)}\n")


async def test_a_reader_tails(kafka: Guarded, session_loop: Call) -> None:
    env = kafka.environment("reader")
    ended = await penstock("tail", "tokens", "-c", "1", env=env)
    assert (ended.code, ended.stderr) == (0, "")
    right = READER[0]
    session_loop(kafka.take(right))
    ended = await penstock("tail", "tokens", "-c", "1", env=env)
    session_loop(kafka.give(right))
    assert (ended.code, ended.stderr) == (2, f"penstock: {says(right)}\n")


async def test_a_watcher_sees_the_status(kafka: Guarded) -> None:
    async with model_server() as models, running(_settings(kafka, models)):
        ended = await penstock("status", env=kafka.environment("watcher"))
    assert (ended.code, ended.stderr) == (0, "")
    # Whose rights were taken away could not say that it leaves, and is a member for 10 s more.
    assert ended.stdout.startswith("group penstock  Stable, ")
    assert " 1 partition  " in ended.stdout.splitlines()[0]


@each(WATCHER)
async def test_without_one_of_them_nobody_sees_it(kafka: Guarded, without: Right) -> None:
    ended = await penstock("status", env=kafka.environment("watcher"))
    assert (ended.code, ended.stderr) == (2, f"penstock: {says(without)}\n")


async def test_a_gateway_without_the_dead_letters_lacks_nothing_else(
    kafka: Guarded, session_loop: Call
) -> None:
    letters = [right for right in SERVICE if right.name == "penstock.dead-letters"]
    asks = Right("penstock", "topic", "penstock.questions", "Write")
    async with model_server() as models:
        own = _settings(kafka, models).model_copy(update={"gateway": GatewaySettings(port=0)})
        async with _talk(kafka) as talk, running(own):
            await talk.ask({"id": "bad"})
            [letter] = await talk.dead_letters(1)
    place = f"/v1/dead-letters/{letter.partition}/{letter.offset}"
    await asyncio.to_thread(session_loop, kafka.give(asks))
    try:
        for right in letters:
            await asyncio.to_thread(session_loop, kafka.take(right))
        async with serving(own) as gateway:
            shown = {"Authorization": f"Bearer {gateway.parts.access.operator_token}"}
            async with httpx.AsyncClient(base_url=gateway.address, headers=shown) as client:
                await gateway.parts.overview.looked.wait()
                status = (await client.get("/v1/overview")).json()["status"]
                assert (status["group"], status["dead_letters"]) == ("penstock", None)
                for method, path in (("GET", "/v1/dead-letters"), ("GET", place)):
                    said = (await client.request(method, path)).json()
                    assert (said["status"], said["code"]) == (503, "kafka_refuses")
                    assert said["detail"] == says(letters[0])
                assert (await client.get("/v1/replays")).json() == {"replays": []}

                for right in letters:
                    await asyncio.to_thread(session_loop, kafka.give(right))
                assert (await client.get(place)).is_success
                said = (await client.post(f"{place}/redrive")).json()
                assert (said["status"], said["code"]) == (503, "kafka_refuses")
                assert "group 'penstock.redrive.penstock.dead-letters." in said["detail"]
                assert "lacks the right Read" in said["detail"]
    finally:
        await asyncio.to_thread(session_loop, kafka.take(asks))
        for right in letters:
            await asyncio.to_thread(session_loop, kafka.give(right))


async def test_a_reader_reads(kafka: Guarded) -> None:
    async with model_server() as models, running(_settings(kafka, models)), _talk(kafka) as talk:
        await talk.ask({"id": "read", "question": "Why?"})
        await talk.completion("read")
    assert await _read(kafka, "penstock.completions")
    assert await _read(kafka, "penstock.tokens")


@each(READER)
async def test_without_one_of_them_a_reader_reads_no_more(kafka: Guarded, without: Right) -> None:
    with pytest.raises(TopicAuthorizationFailedError, match=without.name):
        await _read(kafka, without.name)


def says(right: Right) -> str:
    return (
        f"{right.kind} {right.name!r} lacks the right {right.operation}; grant: kafka-acls.sh "
        f"--add --allow-principal User:{right.user} --operation {right.operation} "
        f"--{right.kind} {right.name}"
    )


def _settings(kafka: Guarded, models: ModelServer) -> Settings:
    return settings.load(
        kafka={"bootstrap_servers": kafka.secured, "client": kafka.client("penstock")},
        model={"name": "openai/ok", "api_base": models.api_base, "api_key": "none"},
        telemetry={"port": 0},
        drain_ms=5_000,
    )


def _talk(kafka: Guarded) -> AbstractAsyncContextManager[Conversation]:
    """By one who may do everything."""
    return conversation(KafkaSettings(bootstrap_servers=kafka.servers), TopicSettings())


async def _operate(kafka: Guarded) -> None:
    operator = client_arguments(kafka.secured, kafka.client("operator"))
    said = {"cancel/unwanted": b'{"type": "cancel", "question_id": "unwanted"}'}
    await control.say(operator, "penstock.control", said, Clock())


async def _read(kafka: Guarded, topic: str) -> list[Any]:
    """What comes first; waits for it."""
    reader = AIOKafkaConsumer(
        topic,
        **client_arguments(kafka.secured, kafka.client("reader")),
        auto_offset_reset="earliest",
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            await reader.start()
            found = await reader.getmany(timeout_ms=int(PATIENCE_S * 1000))
    finally:
        await reader.stop()
    return [record for records in found.values() for record in records]
