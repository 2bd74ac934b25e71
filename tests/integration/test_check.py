"""`penstock check` before anything runs, and what of it `penstock serve` minds."""

import json
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.coordinator.assignors.range import RangePartitionAssignor

from penstock.cli import check_kafka, check_programs
from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.finding import Finding, Level
from penstock.kafka import admin as module
from penstock.kafka.admin import admin, prepare
from penstock.kafka.security import client_arguments
from penstock.settings import Settings
from tests.support.command import Ended, member_environment, penstock
from tests.support.conversation import serving
from tests.support.hearing import hear
from tests.support.kafka import Topics
from tests.support.model_server import model_server
from tests.support.service import configurable, needing, settings_for

HERE = "tests.support.programs"

NOBODY = "localhost:1"
"""Is not asked."""


async def test_all_is_well(bootstrap_servers: str, topics: Topics) -> None:
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (_, talk),
    ):
        await talk.ask({"id": "a", "question": "Why?"})
        await talk.completion("a")
        settings = settings_for(bootstrap_servers, topics, "openai/ok", models.api_base)
        before = len(models.calls)
        ended = await _check(settings)
        assert len(models.calls) == before + 1
        assert json.loads(models.bodies[-1])["max_completion_tokens"] == 1
    assert (ended.code, ended.stderr) == (0, "penstock: all is well\n")
    lines = ended.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["ok"] * 10
    for line, words in zip(
        lines,
        [
            "program 'qa' asks model 'default'; needs question, answers with 'answer'",
            "model 'default' (openai/ok) answers in",
            f"Kafka at {bootstrap_servers} answers over PLAINTEXT: 1 broker",
            *(
                f"topic {name!r} is set up as it has to be: {partitions}"
                for name, partitions in (
                    (settings.topics.questions, "2 partitions, 1 replica"),
                    (settings.topics.tokens, "2 partitions"),
                    (settings.topics.completions, "2 partitions"),
                    (settings.topics.dead_letters, "2 partitions"),
                    (settings.topics.control, "1 partition,"),
                )
            ),
            f"group {settings.kafka.group_id!r} has 1 member",
            "this machine's clock is",
        ],
        strict=True,
    ):
        assert words in line


async def test_json_is_one_object_a_line_and_without_a_model_no_key_is_needed(
    bootstrap_servers: str, topics: Topics
) -> None:
    settings = settings_for(bootstrap_servers, topics, "openai/ok", "http://localhost:1")
    ended = await _check(settings, "--output", "json", "--no-model")
    assert ended.code == 0
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {tuple(line) for line in found} == {("level", "about", "said", "remedy")}
    levels = {line["about"]: line["level"] for line in found}
    assert levels["model 'default' (openai/ok)"] == "skipped"
    # Nothing was created.
    missing = [line["said"] for line in found if line["about"].startswith("topic")]
    assert len(missing) == 5
    assert all("is missing, and `penstock serve` creates it" in said for said in missing)
    async with admin(client_arguments(bootstrap_servers, {})) as connection:
        assert settings.topics.questions not in await connection.list_topics()


async def test_settings_that_cannot_be_read_are_exit_code_2() -> None:
    ended = await penstock("check", env={"PENSTOCK_POOL__SLOTS": "none"})
    assert ended.code == 2
    assert ended.stderr.startswith("penstock: setting POOL__SLOTS")
    assert not ended.stdout


async def test_a_kafka_that_is_away_and_a_model_that_is_are_wrong(topics: Topics) -> None:
    settings = settings_for("localhost:1", topics, "openai/ok", "http://localhost:1")
    ended = await _check(settings)
    assert (ended.code, ended.stderr) == (1, "penstock: 2 wrong\n")
    _, model, kafka = ended.stdout.splitlines()
    assert model.startswith(
        "wrong   model 'default' (openai/ok) refuses (UPSTREAM connection_lost)"
    )
    assert kafka.startswith("wrong   Kafka cannot be looked at: no Kafka answers at localhost:1")


PROGRAMS: list[tuple[str, Level, str]] = [
    ("question -> answer", Level.OK, "answers with 'answer'"),
    ("question -> title: str, score: float", Level.OK, "answers with 'title'"),
    ("question -> score: float", Level.WARNING, "has no text among its outputs (score)"),
    ("nowhere:program", Level.WRONG, "cannot be served: cannot import 'nowhere:program'"),
]


@pytest.mark.parametrize(("entry", "level", "words"), PROGRAMS)
async def test_a_program(topics: Topics, entry: str, level: Level, words: str) -> None:
    settings = settings_for(
        NOBODY, topics, "openai/ok", "http://localhost:1", programs={"mine": entry}
    )
    [program, *_] = await _of_programs(settings)
    assert program.level is level
    assert str(program).startswith(f"program 'mine' {words}" if level is not Level.OK else "")
    assert words in str(program)


async def test_one_that_cannot_be_served_hides_no_other(topics: Topics) -> None:
    programs = {"bad": {"entry": "question -> answer", "model": "large"}, "good": "text -> summary"}
    settings = settings_for(NOBODY, topics, "openai/ok", "http://localhost:1", programs=programs)
    [bad, good, model] = await _of_programs(settings)
    assert (bad.level, good.level, model.level) == (Level.WRONG, Level.OK, Level.SKIPPED)
    assert "none of MODELS" in str(bad)


MODELS: list[tuple[str, Level, str]] = [
    ("401", Level.WRONG, "refuses (OPERATOR model_auth)"),
    ("404", Level.WRONG, "refuses (OPERATOR unknown_model)"),
    ("429", Level.WARNING, "refuses (UPSTREAM rate_limited)"),
    ("502", Level.WRONG, "refuses (UPSTREAM model_error)"),
    ("hang-before", Level.WRONG, "does not answer within 0.2 s"),
]


@pytest.mark.parametrize(("model", "level", "words"), MODELS)
async def test_a_model(
    topics: Topics, monkeypatch: pytest.MonkeyPatch, model: str, level: Level, words: str
) -> None:
    if model == "hang-before":
        monkeypatch.setattr(check_programs, "ANSWER_SECONDS", 0.2)
    async with model_server() as models:
        settings = settings_for(NOBODY, topics, f"openai/{model}", models.api_base)
        [_, found] = await _of_programs(settings, asks=True)
    assert found.level is level
    assert words in str(found)


async def test_a_model_that_takes_no_limit_of_one_token_is_asked_without(topics: Topics) -> None:
    async with model_server() as models:
        models.script["picky"] = lambda count, _: "400" if count == 1 else "ok"
        settings = settings_for(NOBODY, topics, "openai/picky", models.api_base)
        [_, found] = await _of_programs(settings, asks=True)
        limits = [json.loads(body).get("max_completion_tokens") for body in models.bodies]
    assert limits == [1, None]
    assert found.level is Level.OK


async def test_a_wrong_setting_of_a_topic_is_told_and_ends_the_start(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("tokens", 2, {"cleanup.policy": "compact"})
    settings = settings_for(bootstrap_servers, topics, "openai/ok")
    [wrong] = [f for f in await _of_kafka(settings) if f.level is Level.WRONG]
    assert str(wrong).startswith(f"topic {settings.topics.tokens!r} is compacted")
    _all_created(topics, settings)
    with pytest.raises(ConfigurationError) as caught:
        await prepare(client_arguments(bootstrap_servers, {}), needing(settings.topics))
    assert str(caught.value) == str(wrong)


async def test_what_may_do_harm_is_told_and_logged_once_at_the_start(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create("control", 1, {"cleanup.policy": "compact", "segment.ms": "3600000"})
    settings = settings_for(bootstrap_servers, topics, "openai/ok")
    [warning] = [f for f in await _of_kafka(settings) if f.level is Level.WARNING]
    assert "LogAppendTime" in str(warning)
    _all_created(topics, settings)
    heard = hear(monkeypatch, module)
    await prepare(client_arguments(bootstrap_servers, {}), needing(settings.topics))
    lines = [line["event"] for line in heard.lines if line["level"] == "warning"]
    assert lines == [str(warning)]


async def test_more_in_sync_than_there_are_replicas_is_no_reason_not_to_start(
    bootstrap_servers: str, topics: Topics
) -> None:
    """A default of the brokers that a topic with one replica has; they take what there is."""
    topics.create("completions", 2, {"min.insync.replicas": "2"})
    settings = settings_for(bootstrap_servers, topics, "openai/ok")
    found = [f for f in await _of_kafka(settings) if "min.insync.replicas 2" in str(f)]
    assert [finding.level for finding in found] == [Level.WARNING]
    _all_created(topics, settings)
    client = client_arguments(bootstrap_servers, {})
    await prepare(client, needing(settings.topics))
    async with AIOKafkaProducer(**client, acks="all") as producer:
        await producer.send_and_wait(settings.topics.completions, b"{}")


async def test_a_name_that_no_topic_can_have_is_wrong(
    bootstrap_servers: str, topics: Topics
) -> None:
    alone = settings_for(bootstrap_servers, topics, "openai/ok")
    settings = _with_topics(alone, tokens="the tokens")
    [wrong] = [f for f in await _of_kafka(settings) if f.level is Level.WRONG]
    assert "'the tokens' is missing and cannot be created: Topic name is invalid" in str(wrong)
    _all_created(topics, alone)
    with pytest.raises(ConfigurationError, match="'the tokens' is missing and cannot be created"):
        await prepare(client_arguments(bootstrap_servers, {}), needing(settings.topics))


async def test_topics_that_are_missing_and_are_not_to_be_created_are_wrong(
    bootstrap_servers: str, topics: Topics
) -> None:
    settings = _with_topics(settings_for(bootstrap_servers, topics, "openai/ok"), create=False)
    wrong = [f for f in await _of_kafka(settings) if f.level is Level.WRONG]
    assert len(wrong) == 5
    assert "set PENSTOCK_TOPICS__CREATE=true" in str(wrong[0])


async def test_topics_that_cannot_be_created_are_wrong(
    bootstrap_servers: str, topics: Topics
) -> None:
    alone = settings_for(bootstrap_servers, topics, "openai/ok")
    settings = _with_topics(alone, replication_factor=99)
    wrong = [f for f in await _of_kafka(settings) if f.level is Level.WRONG]
    assert len(wrong) == 5
    assert "is missing and cannot be created: Unable to replicate" in str(wrong[0])


async def test_a_commit_that_may_say_more_than_the_brokers_take_is_wrong(
    bootstrap_servers: str, topics: Topics
) -> None:
    settings = settings_for(bootstrap_servers, topics, "openai/ok", commit={"metadata_bytes": 4097})
    [wrong] = [f for f in await _of_kafka(settings) if f.level is Level.WRONG]
    assert "takes 4096 bytes beside an offset" in str(wrong)
    assert "PENSTOCK_COMMIT__METADATA_BYTES=4096" in str(wrong)


async def test_a_group_with_another_assignor_is_wrong(
    bootstrap_servers: str, topics: Topics
) -> None:
    settings = settings_for(bootstrap_servers, topics, "openai/ok")
    other = AIOKafkaConsumer(
        topics.create("questions"),
        bootstrap_servers=bootstrap_servers,
        group_id=settings.kafka.group_id,
        partition_assignment_strategy=[RangePartitionAssignor],
        enable_auto_commit=False,
    )
    await other.start()
    try:
        [wrong] = [f for f in await _of_kafka(settings) if f.level is Level.WRONG]
    finally:
        await other.stop()
    assert "deals out partitions by range, and KAFKA__ASSIGNOR is roundrobin" in str(wrong)


async def _check(settings: Settings, *options: str) -> Ended:
    return await penstock("check", *options, env=member_environment(settings))


async def _of_kafka(settings: Settings) -> list[Finding]:
    client = client_arguments(settings.kafka.bootstrap_servers, settings.kafka.client)
    return [finding async for finding in check_kafka.look(settings, client, Clock())]


async def _of_programs(settings: Settings, *, asks: bool = False) -> list[Finding]:
    configurable()
    return [finding async for finding in check_programs.look(settings, asks=asks)]


def _with_topics(settings: Settings, **change: Any) -> Settings:
    return settings.model_copy(update={"topics": settings.topics.model_copy(update=change)})


def _all_created(topics: Topics, settings: Settings) -> None:
    """By the start, as far as they were not there."""
    names: Any = settings.topics.model_dump(
        include={"questions", "tokens", "completions", "dead_letters", "control"}
    )
    topics.created += [name for name in names.values() if name not in topics.created]
