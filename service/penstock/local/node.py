"""One Kafka node: a JVM that is broker and controller, and can be killed and started again."""

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from penstock.errors import ConfigurationError
from penstock.local.lifeline import Lifeline

START_SECONDS = 60
STOP_SECONDS = 10
POLL_SECONDS = 0.02
LAST_WORDS = 20


class Node:
    """A started node serves: it answers for itself and the cluster takes it for alive."""

    def __init__(
        self, number: int, port: int, command: Sequence[str], log: Path, lifeline: Lifeline
    ) -> None:
        self.number = number
        self.address = f"127.0.0.1:{port}"
        self.log = log
        self._command = command
        self._lifeline = lifeline
        self._process: asyncio.subprocess.Process | None = None

    def __repr__(self) -> str:
        return f"Node({self.number}, {self.address}, pid={self.pid})"

    @property
    def pid(self) -> int | None:
        """None while the node is down."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    async def start(self) -> None:
        """Starts on the same port and data as before and returns once the node serves."""
        assert self.pid is None, f"{self} is running"
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C in a terminal is for the program, which then stops its nodes in order.
                start_new_session=True,
            )
        self._lifeline.hold(self._process.pid)
        try:
            async with asyncio.timeout(START_SECONDS):
                while self.number not in await self.sees():
                    if self.pid is None:
                        raise self._refusal(f"ended with code {self._process.returncode}")
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            raise self._refusal(f"does not serve after {START_SECONDS} s") from None

    async def stop(self) -> None:
        """SIGTERM, as an operator would; SIGKILL when that takes too long."""
        if self._process is None or self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS):
                await self._process.wait()
        await self.kill()

    async def kill(self) -> None:
        """SIGKILL."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        self._lifeline.release(self._process.pid)

    async def ended(self) -> ConfigurationError:
        """Returns when the node is down, with the end of its log."""
        assert self._process is not None
        code = await self._process.wait()
        return self._refusal(f"ended with code {code}")

    async def sees(self) -> set[int]:
        """The numbers of the nodes that this node takes for alive; empty while it is down."""
        host, port = self.address.split(":")
        try:
            # aiokafka logs an error for every refused connection, so it is not the one to ask first
            _, writer = await asyncio.open_connection(host, int(port))
        except OSError:
            return set()
        writer.close()
        client = AIOKafkaClient(bootstrap_servers=self.address)
        try:
            await client.bootstrap()
            return {broker.nodeId for broker in client.cluster.brokers()}
        except KafkaError:
            return set()
        finally:
            await client.close()

    def _refusal(self, what: str) -> ConfigurationError:
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        tail = "\n".join(lines[-LAST_WORDS:])
        return ConfigurationError(
            f"Kafka node {self.number} {what}; the end of its log {self.log}:\n{tail}"
        )
