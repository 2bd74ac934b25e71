"""A real Apache Kafka for a laptop and for tests: one node or several, in KRaft mode.

async with broker(nodes=3) as kafka:
    AIOKafkaProducer(bootstrap_servers=kafka.bootstrap_servers)
    await kafka.nodes[0].kill()
"""

import asyncio
import contextlib
import secrets
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from penstock.errors import ConfigurationError
from penstock.local.jars import Progress, cache_dir, class_path
from penstock.local.java import java
from penstock.local.lifeline import Lifeline
from penstock.local.listeners import Listener, scram_users
from penstock.local.node import LAST_WORDS, POLL_SECONDS, START_SECONDS, Node
from penstock.local.properties import HOST, Ports, as_text, properties_of

JVM = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    # Only the fast compiler: half the time to serve, and a broker for one developer is never hot.
    "-XX:TieredStopAtLevel=1",
    # A killed JVM would leave its counters behind in the system's temporary folder.
    "-XX:-UsePerfData",
    "-Xshare:auto",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)

# Below the ports that systems hand out for outgoing connections: a node that is down for a
# while must find its port free again, and a client that keeps trying must not reach itself.
PORTS = range(20000, 32000)


@dataclass(frozen=True)
class Kafka:
    """`secured`: the bootstrap servers of each listener beside PLAINTEXT, by its name."""

    bootstrap_servers: str
    nodes: tuple[Node, ...]
    secured: Mapping[str, str] = field(default_factory=dict)


@contextlib.asynccontextmanager
async def broker(
    nodes: int = 1,
    data_dir: Path | None = None,
    settings: Mapping[str, str] | None = None,
    port: int | None = None,
    progress: Progress | None = None,
    listeners: Sequence[Listener] = (),
) -> AsyncIterator[Kafka]:
    """Starts Kafka and stops it at the end; should this process die, Kafka dies with it.

    Args:
        nodes: each is broker and controller.
        data_dir: kept, and found again by the next start with as many nodes. Without one the
            data is in a temporary folder and gone at the end.
        settings: lines of `server.properties` for every node; they win over the ones from here.
        port: of the first node, the others follow; without it, free ones are found. Where there
            are `listeners` it is the port of the first of them.
        progress: told about the download and the start.
        listeners: for clients, beside the PLAINTEXT one over which nodes talk to each other. Who
            comes by SCRAM is written down when `data_dir` is new.

    Raises:
        ConfigurationError: Kafka cannot be had or does not start. The message has the last
            lines of its log.
    """
    jars = await class_path(progress)
    own = settings or {}
    lifeline = Lifeline()
    with contextlib.ExitStack() as undo:
        undo.callback(lifeline.close)
        home, logs = _folders(data_dir, nodes, lifeline, undo)
        ports = _ports(nodes, port, len(listeners))
        lines = [
            {**properties_of(number, ports, home / f"node-{number}" / "data", listeners), **own}
            for number in range(1, nodes + 1)
        ]
        members = tuple(
            _prepare(number, ports[number - 1].plaintext, each, home, logs, jars, lifeline)
            for number, each in enumerate(lines, 1)
        )
        secured = {
            listener.name: ",".join(f"{HOST}:{node.secured[at]}" for node in ports)
            for at, listener in enumerate(listeners)
        }
        kafka = Kafka(",".join(member.address for member in members), members, secured)
        try:
            await _format(kafka, home, jars, tuple(scram_users(listeners)))
            await _start(kafka, progress)
            yield kafka
        finally:
            # Data that nobody will read again needs no orderly shutdown.
            end = Node.stop if data_dir is not None else Node.kill
            await asyncio.gather(*(end(member) for member in members))


def _folders(
    data_dir: Path | None, nodes: int, lifeline: Lifeline, undo: contextlib.ExitStack
) -> tuple[Path, Path]:
    """Where the data and the logs go."""
    if data_dir is not None:
        home = data_dir.resolve()
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"--data-dir {home}: {error.strerror}") from error
        found = len(list(home.glob("node-*/server.properties")))
        if found not in {0, nodes}:
            raise ConfigurationError(
                f"{home} holds the data of another number of nodes ({found}):"
                f" start with --nodes {found}, or name another folder."
            )
        return home, home
    home = Path(tempfile.mkdtemp(prefix="penstock-kafka-"))
    lifeline.remove(home)
    undo.callback(shutil.rmtree, home, ignore_errors=True)
    logs = cache_dir() / "logs" / home.name
    logs.mkdir(parents=True)

    def forget(kind: type[BaseException] | None, *_: object) -> None:
        # Ctrl-C arrives as a cancellation, which is no failure.
        if kind is None or not issubclass(kind, Exception):
            shutil.rmtree(logs, ignore_errors=True)
        else:
            # After a failure the logs are what one wants to see, where there are any.
            with contextlib.suppress(OSError):
                logs.rmdir()

    undo.push(forget)
    return home, logs


def _ports(nodes: int, first: int | None, secured: int) -> list[Ports]:
    """Of every node."""
    with contextlib.ExitStack() as bound:

        def free(port: int) -> bool:
            probe = bound.enter_context(socket.socket())
            # As Kafka will: connections of a former life may still be winding down.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                return False
            return True

        wanted = range(first, first + nodes) if first is not None else ()
        if taken := [port for port in wanted if not free(port)]:
            raise ConfigurationError(f"Port {taken[0]} is taken: choose another with --port.")

        # Where nobody listens yet, the same one could be bound twice.
        others = [port for port in PORTS if port not in wanted]
        found = filter(free, secrets.SystemRandom().sample(others, len(others)))
        doors = [[next(found) for _ in range(1 + secured)] for _ in range(nodes)]
        for node, port in zip(doors, wanted, strict=bool(wanted)):
            node[1 if secured else 0] = port
        return [Ports(plaintext, next(found), tuple(rest)) for plaintext, *rest in doors]


def _prepare(
    number: int,
    port: int,
    lines: Mapping[str, str],
    home: Path,
    logs: Path,
    jars: str,
    lifeline: Lifeline,
) -> Node:
    folder = home / f"node-{number}"
    (folder / "tmp").mkdir(parents=True, exist_ok=True)
    properties = folder / "server.properties"
    # There may be passwords in it.
    properties.touch(mode=0o600)
    properties.write_text(as_text(lines), encoding="ascii")
    # Kafka unpacks its native codecs there and, when killed, leaves them.
    aside = f"-Djava.io.tmpdir={folder / 'tmp'}"
    command = (str(java()), *JVM, aside, "-cp", jars, "kafka.Kafka", str(properties))
    return Node(number, port, command, logs / f"node-{number}.log", lifeline)


async def _format(kafka: Kafka, home: Path, jars: str, users: Sequence[str]) -> None:
    name = home / "cluster-id"
    if not name.exists():
        # 16 bytes; a leading dash would look like an option.
        name.write_text(f"P{secrets.token_urlsafe(16)[1:]}", encoding="utf-8")
    cluster_id = name.read_text(encoding="utf-8")

    async def format_one(node: Node) -> None:
        folder = home / f"node-{node.number}"
        if (folder / "data" / "meta.properties").exists():
            return
        process = await asyncio.create_subprocess_exec(
            *(str(java()), *JVM, "-cp", jars, "kafka.tools.StorageTool", "format"),
            *("-t", cluster_id, "-c", str(folder / "server.properties")),
            *(word for user in users for word in ("--add-scram", user)),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        if process.returncode:
            tail = "\n".join(output.decode(errors="replace").splitlines()[-LAST_WORDS:])
            raise ConfigurationError(f"Kafka node {node.number} cannot be formatted:\n{tail}")

    await asyncio.gather(*(format_one(node) for node in kafka.nodes))


async def _start(kafka: Kafka, progress: Progress | None) -> None:
    total = len(kafka.nodes)
    if progress is not None:
        progress("Starting Kafka", 0, total)
    starts = [asyncio.ensure_future(node.start()) for node in kafka.nodes]
    try:
        for done, start in enumerate(asyncio.as_completed(starts), 1):
            await start
            if progress is not None:
                progress("Starting Kafka", done, total)
    finally:
        for start in starts:
            start.cancel()
        await asyncio.gather(*starts, return_exceptions=True)
    everyone = {node.number for node in kafka.nodes}
    try:
        async with asyncio.timeout(START_SECONDS):
            for node in kafka.nodes:
                while await node.sees() != everyone:  # noqa: ASYNC110 (another process's state)
                    await asyncio.sleep(POLL_SECONDS)
            await _coordinator(kafka.bootstrap_servers)
    except TimeoutError:
        raise ConfigurationError(f"Kafka does not serve after {START_SECONDS} s.") from None


async def _coordinator(bootstrap_servers: str) -> None:
    """Until the group coordinator answers: it is the last to come up."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        while True:
            try:
                await admin.list_consumer_group_offsets("penstock-probe")
            except KafkaError:
                await asyncio.sleep(POLL_SECONDS)
            else:
                return
    finally:
        await admin.close()
