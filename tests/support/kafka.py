"""A Kafka for the tests: one per session, topics of its own for every test.

In this order: the one named in PENSTOCK_TEST_BOOTSTRAP_SERVERS, with `--kafka=container` the
published image in a container, else the embedded broker.
"""

import asyncio
import os
import re
import secrets
import socket
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, for_code

from penstock.local.broker import broker

T = TypeVar("T")
Call = Callable[[Coroutine[Any, Any, Any]], Any]

IMAGE = "apache/kafka:4.4.0"
READY_SECONDS = 60
COMPACTION_MS = 500
"""How often a broker looks whether there is something to compact; by itself every 15 s."""


def add_option(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kafka",
        choices=("embedded", "container"),
        default="embedded",
        help="where the tests' Kafka comes from, unless PENSTOCK_TEST_BOOTSTRAP_SERVERS names one",
    )


@contextmanager
def background_loop() -> Iterator[Call]:
    """An event loop in a thread, and a plain function that runs a coroutine on it.

    Tests have a loop each and end it; what lives for the session needs one that stays.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="session-loop")
    thread.start()
    try:
        yield lambda coroutine: asyncio.run_coroutine_threadsafe(coroutine, loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


@contextmanager
def entered(manager: AbstractAsyncContextManager[T], call: Call) -> Iterator[T]:
    """An async context manager for a test that is not async."""
    value: T = call(manager.__aenter__())
    try:
        yield value
    finally:
        call(manager.__aexit__(None, None, None))


@dataclass
class Topics:
    """Topics of one test: their names begin with a prefix no other test has."""

    prefix: str
    _admin: AIOKafkaAdminClient
    _call: Call
    created: list[str] = field(default_factory=list)

    def name(self, topic: str) -> str:
        """The full name, without creating it."""
        return f"{self.prefix}{topic}"

    def of(self, story: str) -> "Topics":
        """For one of several stories that are told at once; deleted with all the others."""
        return replace(self, prefix=self.name(f"{story}-"))

    def create(
        self,
        topic: str,
        partitions: int = 1,
        config: Mapping[str, str] | None = None,
        replication_factor: int = 1,
    ) -> str:
        """Creates a topic, waits until each partition has a leader, and gives its full name."""
        name = self.name(topic)
        new = NewTopic(name, partitions, replication_factor, topic_configs=dict(config or {}))
        self._call(_create(self._admin, new))
        self.created.append(name)
        return name


async def _create(admin: AIOKafkaAdminClient, new: NewTopic) -> None:
    response = await admin.create_topics([new])
    for topic, code, *message in response.topic_errors:
        if code:
            raise for_code(code)(f"{topic}: {message}")
    async with asyncio.timeout(READY_SECONDS):
        # Polled, as the state waited for is another process's.
        while not led(await admin.describe_topics([new.name]), new.num_partitions):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


def led(described: list[dict[str, Any]], partitions: int) -> bool:
    return all(
        topic["error_code"] == 0
        and len(topic["partitions"]) == partitions
        and all(partition["leader"] >= 0 for partition in topic["partitions"])
        for topic in described
    )


@asynccontextmanager
async def _embedded() -> AsyncIterator[str]:
    async with broker(settings={"log.cleaner.backoff.ms": str(COMPACTION_MS)}) as kafka:
        yield kafka.bootstrap_servers


@contextmanager
def _container() -> Iterator[str]:
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 (only if asked for)
    from testcontainers.core.docker_client import DockerClient  # noqa: PLC0415 (as above)
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415 (as above)

    with socket.socket() as clients, socket.socket() as controllers:
        clients.bind(("", 0))
        controllers.bind(("", 0))
        # The same port inside and outside: what the broker advertises must be true on both sides.
        port, controller = clients.getsockname()[1], controllers.getsockname()[1]
    host = DockerClient().host()
    container = DockerContainer(IMAGE).with_bind_ports(port, port)
    variables = {
        "NODE_ID": "1",
        "PROCESS_ROLES": "broker,controller",
        "LISTENERS": f"PLAINTEXT://:{port},CONTROLLER://:{controller}",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://{host}:{port}",
        "LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "INTER_BROKER_LISTENER_NAME": "PLAINTEXT",
        "CONTROLLER_QUORUM_VOTERS": f"1@localhost:{controller}",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "AUTO_CREATE_TOPICS_ENABLE": "false",
        "LOG_CLEANER_BACKOFF_MS": str(COMPACTION_MS),
    }
    for name, value in variables.items():
        container.with_env(f"KAFKA_{name}", value)
    # Without it, a Kafka that ended at once would only show as clients that time out.
    started = LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(READY_SECONDS)
    with container.waiting_for(started):
        yield f"{host}:{port}"


@pytest.fixture(scope="session")
def session_loop() -> Iterator[Call]:
    with background_loop() as call:
        yield call


@pytest.fixture(scope="session")
def bootstrap_servers(request: pytest.FixtureRequest, session_loop: Call) -> Iterator[str]:
    """The session's Kafka."""
    if named := os.environ.get("PENSTOCK_TEST_BOOTSTRAP_SERVERS"):
        yield named
    elif request.config.getoption("--kafka") == "container":
        with _container() as servers:
            yield servers
    else:
        with entered(_embedded(), session_loop) as servers:
            yield servers


@asynccontextmanager
async def admin_of(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    """An admin client; waits for a container to come up."""
    async with asyncio.timeout(READY_SECONDS):
        while True:
            admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
            try:
                await admin.start()
                break
            except KafkaConnectionError:
                await admin.close()
                await asyncio.sleep(0.1)
    try:
        yield admin
    finally:
        await admin.close()


@pytest.fixture(scope="session")
def kafka_admin(bootstrap_servers: str, session_loop: Call) -> Iterator[AIOKafkaAdminClient]:
    """Lives on the session's loop: reach it by `session_loop(kafka_admin.list_topics())`."""
    with entered(admin_of(bootstrap_servers), session_loop) as admin:
        yield admin


@pytest.fixture
def topics(
    request: pytest.FixtureRequest, kafka_admin: AIOKafkaAdminClient, session_loop: Call
) -> Iterator[Topics]:
    """Fresh topic names for one test, deleted after it."""
    with topics_of(request, kafka_admin, session_loop) as fresh:
        yield fresh


@contextmanager
def topics_of(
    request: pytest.FixtureRequest, admin: AIOKafkaAdminClient, call: Call
) -> Iterator[Topics]:
    """As the fixture, of any Kafka."""
    test = re.sub(r"[^a-zA-Z0-9]+", "-", request.node.name)[:40].strip("-")
    fresh = Topics(f"{test}-{secrets.token_hex(4)}-", admin, call)
    yield fresh
    if fresh.created:
        call(admin.delete_topics(fresh.created))
