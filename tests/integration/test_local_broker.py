import asyncio
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError

from penstock.errors import ConfigurationError
from penstock.local import jars
from penstock.local.broker import broker
from tests.support.command import started
from tests.support.kafka import Topics


async def read(bootstrap_servers: str, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=bootstrap_servers,
        group_id=f"{topic}-readers",
        auto_offset_reset="earliest",
    )
    await consumer.start()
    try:
        return sorted([(await consumer.getone()).value for _ in range(count)])
    finally:
        await consumer.stop()


async def write(bootstrap_servers: str, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all")
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def copies_in_sync(bootstrap_servers: str, topic: str, count: int) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await admin.start()
    try:
        while True:
            # The client may ask a node that has just died.
            with suppress(KafkaError):
                (described,) = await admin.describe_topics([topic])
                if all(len(each["isr"]) == count for each in described["partitions"]):
                    return
            await asyncio.sleep(0.05)
    finally:
        await admin.close()


async def test_one_node_takes_records_and_gives_them_back(
    bootstrap_servers: str, topics: Topics
) -> None:
    topic = topics.create("questions", partitions=2, config={"retention.ms": "3600000"})

    await write(bootstrap_servers, topic, b"one", b"two")

    assert await read(bootstrap_servers, topic, 2) == [b"one", b"two"]


async def test_three_nodes_survive_the_death_of_one_and_take_it_back() -> None:
    async with broker(nodes=3) as kafka:
        servers = kafka.bootstrap_servers
        admin = AIOKafkaAdminClient(bootstrap_servers=servers)
        await admin.start()
        await admin.create_topics([NewTopic("replicated", 3, 3)])
        await admin.close()
        await copies_in_sync(servers, "replicated", 3)
        await write(servers, "replicated", b"before")

        victim = kafka.nodes[0]
        await victim.kill()
        assert victim.pid is None
        survivors = ",".join(node.address for node in kafka.nodes[1:])
        await copies_in_sync(survivors, "replicated", 2)
        await write(survivors, "replicated", b"meanwhile")

        await victim.start()
        assert victim.pid is not None
        await copies_in_sync(victim.address, "replicated", 3)
        assert await read(victim.address, "replicated", 2) == [b"before", b"meanwhile"]


async def test_a_named_folder_keeps_topics_from_one_start_to_the_next(tmp_path: Path) -> None:
    async with broker(data_dir=tmp_path) as kafka:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        await admin.create_topics([NewTopic("kept", 1, 1)])
        await admin.close()
        await write(kafka.bootstrap_servers, "kept", b"value")

    async with broker(data_dir=tmp_path) as kafka:
        assert await read(kafka.bootstrap_servers, "kept", 1) == [b"value"]
        assert kafka.nodes[0].log.is_relative_to(tmp_path)

    with pytest.raises(ConfigurationError, match="another number of nodes"):
        async with broker(nodes=3, data_dir=tmp_path):
            pass


async def test_a_broker_that_cannot_start_says_its_last_words() -> None:
    with pytest.raises(ConfigurationError, match=r"num\.io\.threads"):
        async with broker(settings={"num.io.threads": "-1"}):
            pass


PARENT = """
import asyncio, json, tempfile
from pathlib import Path
from penstock.local.broker import broker

async def main():
    async with broker() as kafka:
        log = kafka.nodes[0].log
        home = Path(tempfile.gettempdir(), log.parent.name)
        assert home.is_dir()
        print(json.dumps({"pid": kafka.nodes[0].pid, "home": str(home)}), flush=True)
        await asyncio.get_running_loop().create_future()

asyncio.run(main())
"""


def is_left(pid: int, home: str) -> bool:
    return is_running(pid) or Path(home).exists()


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # An orphan nobody has waited for yet is as dead as can be.
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return True


async def test_the_jvm_dies_when_its_python_is_killed() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    started = json.loads(await parent.stdout.readline())
    assert is_running(started["pid"])

    parent.send_signal(signal.SIGKILL)
    await parent.communicate()

    # Polled, as neither is a child of ours any more.
    while is_left(**started):  # noqa: ASYNC110
        await asyncio.sleep(0.01)


@contextmanager
def mirror_of(body: bytes) -> Iterator[str]:
    """A Maven mirror where every file is the same."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


async def test_a_jar_with_another_sum_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mirror_of(b"not what was locked") as mirror:
        settings = tmp_path / "jgo.conf"
        settings.write_text(f"[repositories]\ncentral = {mirror}\n")
        monkeypatch.setenv("JGO_CONFIG_FILE", str(settings))
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

        with pytest.raises(ConfigurationError, match="another SHA-256"):
            await jars.class_path()

    assert not list((tmp_path / "cache" / "penstock" / "jars").glob("*.jar"))


async def test_a_cached_jar_that_was_changed_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = jars.locked()[0]
    monkeypatch.setattr(jars, "locked", lambda _: [first])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    folder = tmp_path / "penstock" / "jars"
    folder.mkdir(parents=True)
    (folder / first.file_name).write_bytes(b"changed")

    with pytest.raises(ConfigurationError, match="cannot be downloaded"):
        await jars.class_path()


async def test_without_a_network_there_is_one_error_that_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nothing listens on the discard port.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    with pytest.raises(ConfigurationError, match="--bootstrap-server"):
        async with broker():
            pass


def test_the_lock_names_neither_host_nor_path_and_a_sum_for_every_jar() -> None:
    text = jars.LOCK.read_text(encoding="utf-8")

    assert "://" not in text
    assert '"/' not in text
    assert all(len(jar.sha256) == 64 for jar in jars.locked())
    assert set(jars.COORDINATES) <= {jar.coordinate for jar in jars.locked()}


def jvm_at(port: str) -> int:
    """The process of the node that serves this port."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_text().split("\0")
            if "kafka.Kafka" in words and f":{port}," in Path(words[-2]).read_text():
                return int(process.name)
    raise AssertionError(f"no node serves port {port}")


async def test_the_command_ends_when_its_kafka_does() -> None:
    async with started("broker", "--port", "0") as process:
        assert process.stdout is not None
        exported = (await process.stdout.readline()).decode()
        os.kill(jvm_at(exported.strip().rpartition(":")[2]), signal.SIGKILL)
        _, said = await process.communicate()
    assert process.returncode == 2
    assert b"ended with code -9" in said
