"""A Kafka that lets nobody do what he has no right to, with the rights that the README lists.

async with guarded() as kafka:
    await kafka.take(Right("penstock", "topic", "penstock.tokens", "Write"))
"""

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest, DeleteAclsRequest, DescribeAclsRequest

from penstock.local.broker import broker
from penstock.local.listeners import Listener
from tests.support.kafka_tools import kafka_tool

README = Path(__file__).parents[2] / "README.md"
PATIENCE_S = 30.0

USERS = {name: f"{name}-secret" for name in ("penstock", "asker", "reader", "operator", "watcher")}

KINDS = {"topic": 2, "group": 3, "cluster": 4, "transactional-id": 5}
LITERAL, PREFIXED, ANY_PATTERN = 3, 4, 1
ALLOW, ANY = 3, 1
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Delete": 6, "Describe": 8, "DescribeConfigs": 10}


class Right(NamedTuple):
    """As an ACL says it."""

    user: str
    kind: str
    name: str
    operation: str
    pattern: int = LITERAL

    def __str__(self) -> str:
        return f"{self.user}: {self.operation} {self.name}"


@dataclass
class Guarded:
    """`servers`: for those who may do everything."""

    servers: str
    secured: str
    _admin: AIOKafkaAdminClient

    def environment(self, user: str) -> dict[str, str]:
        """Of the `penstock` command, as this user."""
        return {
            "PENSTOCK_KAFKA__BOOTSTRAP_SERVERS": self.secured,
            "PENSTOCK_KAFKA__CLIENT": json.dumps(self.client(user)),
        }

    def client(self, user: str) -> dict[str, str]:
        """As `KAFKA__CLIENT`."""
        return {
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": user,
            "sasl.password": USERS[user],
        }

    async def rights(self) -> set[Right]:
        """All that are granted, as the broker knows them."""
        request = DescribeAclsRequest(ANY, None, ANY_PATTERN, None, None, ANY, ANY)
        answer = await self._send(request)
        kinds = {number: kind for kind, number in KINDS.items()}
        words = {number: word for word, number in OPERATIONS.items()}
        return {
            Right(user.removeprefix("User:"), kinds[kind], name, words[operation], pattern)
            for kind, name, pattern, acls in answer.resources
            for user, _, operation, _ in acls
        }

    async def give(self, right: Right) -> None:
        await self._send(CreateAclsRequest(*_acl(right)))
        await self._until(right, there=True)

    async def take(self, right: Right) -> None:
        await self._send(DeleteAclsRequest(*_acl(right)))
        await self._until(right, there=False)

    async def grant_as_told(self, commands: Iterable[str]) -> set[Right]:
        """What the README's commands grant, run as they stand there."""
        before = await self.rights()
        await asyncio.gather(*map(self._run, commands))
        # Each command returns when the controller has it; the broker hears of it in their order.
        last = Right("told", "topic", "told", "Read")
        await self.give(last)
        await self.take(last)
        return await self.rights() - before

    async def _run(self, command: str) -> None:
        tool, *arguments = shlex.split(command)
        assert tool == "kafka-acls.sh"
        at = arguments.index("--bootstrap-server") + 1
        arguments[at] = self.servers
        ended = await kafka_tool("kafka-acls", *arguments)
        assert ended.code == 0, ended.stderr + ended.stdout

    async def _send(self, request: Any) -> Any:
        return await self._admin._send_request(request)

    async def _until(self, right: Right, *, there: bool) -> None:
        # Polled: the broker hears of it from the controller, and nobody tells when.
        async with asyncio.timeout(PATIENCE_S):
            while (right in await self.rights()) is not there:  # noqa: ASYNC110
                await asyncio.sleep(0.02)


def _acl(right: Right) -> tuple[int, str, int, str, str, int, int]:
    user, kind, name, operation, pattern = right
    return (KINDS[kind], name, pattern, f"User:{user}", "*", OPERATIONS[operation], ALLOW)


def told() -> list[list[str]]:
    """The commands of the README's section on rights, by block."""
    section = README.read_text().partition("\n## Rights\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    return [block.replace("\\\n", " ").strip().splitlines() for block in blocks]


@asynccontextmanager
async def guarded(settings: dict[str, str] | None = None) -> AsyncIterator[Guarded]:
    """Nobody has any right yet, but for who comes in over PLAINTEXT, who has all."""
    everybody = Listener("sasl", "SASL_PLAINTEXT", "PLAIN", USERS)
    own = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "false",
        "super.users": "User:ANONYMOUS",
        **(settings or {}),
    }
    async with broker(settings=own, listeners=[everybody]) as kafka:
        admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
        await admin.start()
        try:
            yield Guarded(kafka.bootstrap_servers, kafka.secured["sasl"], admin)
        finally:
            await admin.close()
