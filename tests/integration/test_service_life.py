"""The whole service on a real Kafka: it comes, it shares its work, it goes."""

import asyncio
import contextlib
import socket
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from penstock import app
from penstock.errors import ConfigurationError
from penstock.events.sums import Standing
from penstock.kafka.admin import prepare
from penstock.kafka.security import client_arguments
from penstock.telemetry import health, metrics
from tests.support.conversation import conversation, serving
from tests.support.kafka import Call, Topics
from tests.support.model_server import model_server
from tests.support.scraping import Scrape
from tests.support.service import needing, running_service, settings_for

DAY_MS = 24 * 60 * 60 * 1000
SLOW = "openai/slow?first_ms=300&token_ms=0"


async def test_a_drained_service_finishes_what_runs_and_the_next_goes_on(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)
    ids = [f"q{number}" for number in range(6)]
    pool = {"slots": 1, "ordering": "partition"}
    async with model_server() as models:
        serve = serving(bootstrap_servers, topics, SLOW, models.api_base, pool=pool)
        async with serve as (service, talk):
            await talk.ask_all(ids)
            await models.called(2)
            service.drain()
            assert service.ready() == "draining"
            await talk.completions(2)
        assert models.calls.disconnects == 0
        assert len(models.calls) == 2

        serve = serving(bootstrap_servers, topics, "openai/ok", models.api_base, pool=pool)
        async with serve as (_, talk):
            assert (await talk.committed())[0] >= 2
            completions = await talk.completions(len(ids))
            await talk.to_the_end()

        assert [c.body["question_id"] for c in completions] == ids
        assert {c.body["status"] for c in completions} == {"completed"}
        assert len(models.calls) == len(ids)


async def test_what_does_not_finish_in_time_is_left_to_the_next(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)
    async with model_server() as models:
        models.script["stuck"] = lambda count, _: "hang-during" if count == 1 else "ok"
        flags: dict[str, Any] = {"drain_ms": 200}
        serve = serving(bootstrap_servers, topics, "openai/stuck", models.api_base, **flags)
        async with serve as (service, talk):
            await talk.ask_all(["stuck"])
            await models.called(1)
            service.drain()
            await models.disconnected(1)

        serve = serving(bootstrap_servers, topics, "openai/stuck", models.api_base, **flags)
        async with serve as (_, talk):
            completions = await talk.completions(1)
            await talk.to_the_end()

            assert [c.body["status"] for c in completions] == ["completed"]
            assert not talk.dead


async def test_what_was_answered_out_of_order_is_not_asked_again(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)
    async with model_server() as models:
        models.script["moody"] = lambda _, request: (
            "slow?first_ms=800&token_ms=0" if request.question == "slow" else "ok"
        )
        serve = serving(bootstrap_servers, topics, "openai/moody", models.api_base)
        async with serve as (service, talk):
            await talk.ask_all(["slow", "behind it"], key=b"a")
            await talk.ask_all(["quick"], key=b"b")
            await talk.completion("quick")
            service.drain()
            await talk.completion("slow")

        serve = serving(bootstrap_servers, topics, "openai/moody", models.api_base)
        async with serve as (service, talk):
            await talk.completion("behind it")
            # Anything it did beside is published before it is released.
            service.drain()
        async with conversation(talk.kafka, talk.topics) as after:
            await after.to_the_end()

            asked = Counter(c.body["question_id"] for c in after.completed)
            assert asked == {"slow": 1, "behind it": 1, "quick": 1}


async def test_a_second_member_joins_under_load(bootstrap_servers: str, topics: Topics) -> None:
    topics.create("questions", 4)
    ids = [f"q{number}" for number in range(80)]
    # One lane per partition: what is done beyond the commit is never more than what runs.
    flags: dict[str, Any] = {"pool": {"slots": 4, "ordering": "partition"}}
    model = "openai/slow?first_ms=40&token_ms=0"
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, model, models.api_base, **flags) as (first, talk),
    ):
        for partition in range(4):
            await talk.ask_all(ids[partition::4], partition=partition)
        await talk.completions(10)
        async with running_service(
            bootstrap_servers, topics, model, models.api_base, **flags
        ) as second:
            await talk.completions(60)
            assert len(first.engine.partitions) == len(second.engine.partitions) == 2
            assert first.live() is second.live() is None
        completions = await talk.completions(len(ids))
        await talk.to_the_end()

        assert Counter(c.body["question_id"] for c in completions) == Counter(ids)
        assert {c.body["status"] for c in completions} == {"completed"}
        assert models.calls.disconnects == 0
        for partition in range(4):
            order = [c.body["question_id"] for c in completions if c.asked[0] == partition]
            assert order == ids[partition::4]
    async with conversation(talk.kafka, talk.topics) as after:
        assert await after.committed() == dict.fromkeys(range(4), 20)


async def _configs(admin: AIOKafkaAdminClient, *topics: str) -> dict[str, dict[str, str]]:
    wanted = [ConfigResource(ConfigResourceType.TOPIC, topic) for topic in topics]
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for response in await admin.describe_configs(wanted)
        for _, _, _, name, entries in response.resources
    }


def test_topics_are_created_as_their_records_need(
    bootstrap_servers: str, topics: Topics, kafka_admin: AIOKafkaAdminClient, session_loop: Call
) -> None:
    limit = 3 * 1024 * 1024
    config = {"retention.ms": str(3 * DAY_MS), "max.message.bytes": str(limit)}
    topics.create("questions", 3, config)

    async def serve() -> None:
        async with running_service(bootstrap_servers, topics):
            pass

    asyncio.run(serve())

    names = [topics.name(topic) for topic in ("tokens", "completions", "dead-letters")]
    tokens, completions, letters = session_loop(_configs(kafka_admin, *names)).values()
    described = session_loop(kafka_admin.describe_topics(names))
    assert [len(topic["partitions"]) for topic in described] == [3, 3, 3]
    assert int(tokens["retention.ms"]) == DAY_MS
    assert int(completions["retention.ms"]) >= 3 * DAY_MS
    assert int(letters["retention.ms"]) == 30 * DAY_MS
    # A dead letter holds the record and says what is wrong with it.
    assert int(letters["max.message.bytes"]) > limit
    for created in (tokens, completions, letters):
        assert created["cleanup.policy"] == "delete"


@pytest.fixture
def taken_port() -> Iterator[int]:
    """A port that is bound, and on which nothing answers."""
    with socket.socket() as bound:
        bound.bind(("", 0))
        bound.listen()
        yield bound.getsockname()[1]


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as bound:
        bound.bind(("", 0))
        port: int = bound.getsockname()[1]
    return port


def _one_line(error: ConfigurationError) -> str:
    message = str(error)
    assert "\n" not in message
    assert len(message) < 250
    return message


async def test_a_topic_that_may_not_be_created_is_named(
    bootstrap_servers: str, topics: Topics
) -> None:
    for topic in ("questions", "tokens", "dead-letters"):
        topics.create(topic)
    settings = settings_for(bootstrap_servers, topics, "openai/ok").topics

    with pytest.raises(ConfigurationError) as caught:
        await prepare(
            client_arguments(bootstrap_servers, {}),
            needing(settings.model_copy(update={"create": False})),
        )

    message = _one_line(caught.value)
    assert f"topic {topics.name('completions')!r} is missing" in message
    assert "TOPICS__CREATE" in message


async def test_a_broker_that_is_away_is_named(topics: Topics, unused_port: int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with running_service(f"localhost:{unused_port}", topics):
            pass

    message = _one_line(caught.value)
    assert f"localhost:{unused_port}" in message
    assert "KAFKA__BOOTSTRAP_SERVERS" in message


async def test_a_port_that_is_taken_is_named(
    bootstrap_servers: str, topics: Topics, taken_port: int
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        async with running_service(bootstrap_servers, topics, telemetry={"port": taken_port}):
            pass

    message = _one_line(caught.value)
    assert str(taken_port) in message
    assert "TELEMETRY__PORT" in message


async def test_probes_and_metrics_tell_how_it_is(bootstrap_servers: str, topics: Topics) -> None:
    topics.create("questions", 1)
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (service, talk),
        aiohttp.ClientSession(f"http://localhost:{service.port}") as http,
    ):
        for probe in ("/livez", "/readyz", "/startupz"):
            assert await _get(http, probe) == (200, "ok")
        await talk.ask_all(["good", "also good"])
        await talk.ask({"id": "bad"})
        await talk.completions(3)
        status, text = await _get(http, "/metrics")

        assert status == 200
        served = Scrape(text)
        assert served.kinds == {family.name: family.kind for family in metrics.SERVICE}
        for family in metrics.SERVICE:
            assert served.labels[family.name] <= set(family.labels)
        assert served["penstock_questions_received_total"] == 3
        ended = "penstock_questions_ended_total"
        assert served[f'{ended}{{program="qa",status="completed"}}'] == 2
        assert served[f'{ended}{{program="none",status="failed"}}'] == 1
        assert served["penstock_attempts_total"] == 2
        assert served['penstock_dead_letters_total{code="invalid_field",kind="RECORD"}'] == 1
        assert served["penstock_assigned_partitions"] == 1
        assert served["penstock_kafka_reachable"] == 1
        assert served['penstock_backlog{partition="0"}'] == 0
        assert served['penstock_commit_age_seconds{partition="0"}'] < 60
        assert served['penstock_tokens_total{program="qa"}'] > 0
        assert served['penstock_queued_seconds_count{program="qa"}'] == 2
        assert "process_open_fds" in text

        head = {"Accept": "application/openmetrics-text; version=1.0.0, text/plain; q=0.5"}
        async with http.get("/metrics", headers=head) as response:
            assert response.content_type == "application/openmetrics-text"
            assert (await response.text()).endswith("# EOF\n")

        standing = Standing.model_validate_json((await _get(http, "/statusz"))[1])
        questions = standing.questions
        assert (questions.total, questions.active, questions.ran) == (3, 0, 2)
        assert (questions.completed, questions.failed, questions.errors) == (2, 1, 1)
        assert questions.average_duration_ms is not None
        assert questions.average_first_token_ms is not None
        assert (standing.partitions, standing.backlog, standing.draining) == ([0], 0, False)

        service.drain()
        assert await _get(http, "/readyz") == (503, "draining")
        assert (await _get(http, "/livez"))[0] == 200
        assert (await _get(http, "/startupz"))[0] == 200


async def test_a_probe_is_answered_before_kafka_is(
    topics: Topics, taken_port: int, unused_port: int
) -> None:
    telemetry = {"port": unused_port}

    async def starts() -> None:
        async with running_service(f"localhost:{taken_port}", topics, telemetry=telemetry):
            pass

    starting = asyncio.create_task(starts())
    try:
        async with aiohttp.ClientSession(f"http://localhost:{unused_port}") as http:
            while not starting.done():
                with contextlib.suppress(aiohttp.ClientConnectionError):
                    assert await _get(http, "/livez") == (200, "ok")
                    break
                await asyncio.sleep(0.01)
            for probe in ("/startupz", "/readyz"):
                assert await _get(http, probe) == (503, "waiting for Kafka and its topics")
            assert (await _get(http, "/statusz"))[0] == 503
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)


async def test_a_member_whose_kafka_client_has_died_in_silence_says_so(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "UNTRIED", 1.5)
    topics.create("questions", 1)
    async with running_service(bootstrap_servers, topics) as service:
        # It beats twice a second.
        await _tries(service)
        await _tries(service)
        assert service.live() is None
        consumer = service.source._consumer
        # It ends as if that were in order, and nobody looks.
        consumer._coordinator._heartbeat_task.cancel()
        async with asyncio.timeout(10):
            while (why := service.live()) is None:  # noqa: ASYNC110 - time itself makes it so
                await asyncio.sleep(0.05)
        assert "nothing was done to be a member" in why
        # One that nobody awaits.
        consumer._fetcher._fetch_task.cancel()
        await asyncio.wait({consumer._fetcher._fetch_task})
        assert service.live() == "the Kafka client's task that fetches has ended"


async def _tries(service: app.Service) -> None:
    """Until it has done once more what a member does."""
    before = service.source.pulse()
    async with asyncio.timeout(10):
        while service.source.pulse() == before:  # noqa: ASYNC110 - the client tells nobody
            await asyncio.sleep(0.01)


async def _get(http: aiohttp.ClientSession, path: str) -> tuple[int, str]:
    async with http.get(path) as response:
        return response.status, await response.text()


async def test_dead_letters_that_take_less_than_a_question_are_refused_at_the_start(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1, {"max.message.bytes": "2000000"})
    topics.create("dead-letters", 1, {"max.message.bytes": "1999999"})
    wanted = settings_for(bootstrap_servers, topics, model={"name": "openai/ok"}).topics
    with pytest.raises(ConfigurationError, match=r"max\.message\.bytes to 2065536"):
        await prepare(client_arguments(bootstrap_servers, {}), needing(wanted))
