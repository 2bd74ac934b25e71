"""Kafka's own command-line tools, from the jar that has them: as its users have them on their PATH.

    await kafka_tool("kafka-acls", "--bootstrap-server", servers, "--list")

`kafka_tools.lock.toml` names the jar beyond those of the broker.
"""

import asyncio
import os
import shlex
from pathlib import Path

from penstock.local.jars import class_path
from penstock.local.java import java
from tests.support.command import Ended

LOCK = Path(__file__).with_name("kafka_tools.lock.toml")

MAIN = {
    "kafka-acls": "org.apache.kafka.tools.AclCommand",
    "kafka-configs": "org.apache.kafka.tools.ConfigCommand",
    "kafka-console-consumer": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-console-producer": "org.apache.kafka.tools.ConsoleProducer",
    "kafka-topics": "org.apache.kafka.tools.TopicCommand",
}

JVM = (
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
)


async def _command(tool: str) -> list[str]:
    jars = os.pathsep.join([await class_path(), await class_path(lock=LOCK)])
    return [str(java()), *JVM, "-cp", jars, MAIN[tool]]


async def kafka_tool(tool: str, *arguments: str, stdin: str = "") -> Ended:
    """Runs it to its end."""
    process = await asyncio.create_subprocess_exec(
        *await _command(tool),
        *arguments,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        stdout, stderr = await process.communicate(stdin.encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())


async def put_on_path(folder: Path) -> None:
    """Scripts with the names that Kafka's distribution gives its tools."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - a test has nothing else to do
    for tool in MAIN:
        script = folder / f"{tool}.sh"
        script.write_text(f'#!/bin/sh\nexec {shlex.join(await _command(tool))} "$@"\n')
        script.chmod(0o755)
