"""`penstock serve` as an operator meets it: a process, signals and exit codes."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer

from tests.support.command import PENSTOCK, environment, model_environment, penstock, started
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.processes import command, without_settings
from tests.support.service import settings_for
from tests.support.silence import silence


@asynccontextmanager
async def working(
    bootstrap_servers: str,
    topics: Topics,
    models: ModelServer,
    model: str,
    program: str = "question -> answer",
) -> AsyncIterator[asyncio.subprocess.Process]:
    """A service that is answering a question."""
    settings = settings_for(bootstrap_servers, topics, model, models.api_base)
    question = topics.create("questions", 1)
    for topic in ("tokens", "completions", "dead-letters"):
        topics.create(topic, 1)
    env = environment(settings) | model_environment(model, models.api_base)
    env["PENSTOCK_TOPICS__DEAD_LETTERS"] = settings.topics.dead_letters
    env["PENSTOCK_KAFKA__GROUP_ID"] = settings.kafka.group_id
    env["PENSTOCK_TELEMETRY__PORT"] = "0"
    env["PENSTOCK_PROGRAMS__MINE"] = program
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers)
    await producer.start()
    try:
        value = json.dumps({"question": "secret words"}).encode()
        headers = [("ce_correlationid", b"order-7")]
        await producer.send_and_wait(question, value, b"secret person", headers=headers)
    finally:
        await producer.stop()
    async with started("serve", env=env) as process:
        await models.called(1)
        yield process


async def test_sigterm_lets_running_questions_finish(
    bootstrap_servers: str, topics: Topics
) -> None:
    model = "openai/slow?first_ms=500&token_ms=0"
    async with (
        model_server() as models,
        working(bootstrap_servers, topics, models, model) as process,
    ):
        process.send_signal(signal.SIGTERM)
        _, logged = await process.communicate()
    assert process.returncode == 0
    lines = [json.loads(line) for line in logged.decode().splitlines()]
    [ended] = [line for line in lines if line["event"] == "question ended"]
    assert (ended["status"], ended["correlation_id"]) == ("completed", "order-7")
    place = f"{topics.name('questions')}/{ended['partition']}/{ended['offset']}"
    assert ended["question_id"] == place == f"{ended['topic']}/0/0"
    assert b"secret" not in logged


async def test_what_a_program_prints_is_not_in_the_log(
    bootstrap_servers: str, topics: Topics
) -> None:
    model, program = "openai/slow?first_ms=500&token_ms=0", "tests.support.thread_programs:Prints"
    async with (
        model_server() as models,
        working(bootstrap_servers, topics, models, model, program) as process,
    ):
        process.send_signal(signal.SIGTERM)
        printed, logged = await process.communicate()
    assert process.returncode == 0
    assert printed.decode() == "printed secret words \\ud800\n"
    lines = [json.loads(line) for line in logged.decode().splitlines()]
    assert [line["status"] for line in lines if line["event"] == "question ended"] == ["completed"]


async def test_a_second_signal_ends_it_at_once(bootstrap_servers: str, topics: Topics) -> None:
    async with (
        model_server() as models,
        working(bootstrap_servers, topics, models, "openai/hang-before") as process,
    ):
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        while b"draining" not in await process.stderr.readline():
            pass
        process.send_signal(signal.SIGTERM)
        _, logged = await process.communicate()
    assert process.returncode == 1
    assert b"stopped at once" in logged


CONTAINED = ("unshare", "-rpf", "--kill-child")
"""Makes what follows the first process of a PID namespace, as in a container."""


def _contained() -> bool:
    there = shutil.which("unshare") is not None
    return there and subprocess.run([*CONTAINED, "true"], check=False).returncode == 0


def _only_child(pid: int) -> int:
    [child] = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


@pytest.mark.skipif(not _contained(), reason="no PID namespace can be made here")
async def test_a_signal_amid_the_start_ends_the_first_process_of_a_container(
    tmp_path: Path,
) -> None:
    async with silence() as kafka:
        own = without_settings(os.environ) | kafka.environment()
        process = await command(*CONTAINED, PENSTOCK, "serve")(own, tmp_path)
        try:
            await kafka.asked.wait()
            os.kill(_only_child(process.pid), signal.SIGTERM)
            assert await process.wait() == 128 + signal.SIGTERM
        finally:
            if process.returncode is None:
                process.kill()


async def test_a_wrong_configuration_is_one_line_and_exit_code_2() -> None:
    ended = await penstock("serve", env={"PENSTOCK_MODLE__NAME": "openai/ok"})
    assert ended.code == 2
    assert ended.stderr == (
        "penstock: the environment variable PENSTOCK_MODLE__NAME is no setting; "
        "did you mean PENSTOCK_MODEL__NAME?\n"
    )
