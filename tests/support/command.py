"""The `penstock` command as a user runs it: a process with its own environment."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.settings import Settings

PENSTOCK = str(Path(sys.executable).with_name("penstock"))


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    stdout: str
    stderr: str


def environment(settings: Settings) -> dict[str, str]:
    """What makes the command use the Kafka, the topics and the model of these settings."""
    topics = settings.topics
    variables = {
        "KAFKA__BOOTSTRAP_SERVERS": settings.kafka.bootstrap_servers,
        "TOPICS__QUESTIONS": topics.questions,
        "TOPICS__TOKENS": topics.tokens,
        "TOPICS__COMPLETIONS": topics.completions,
        "TOPICS__CONTROL": topics.control,
    }
    return {f"PENSTOCK_{name}": value for name, value in variables.items()}


def model_environment(name: str, api_base: str) -> dict[str, str]:
    variables = {"NAME": name, "API_BASE": api_base, "API_KEY": "none"}
    return {f"PENSTOCK_MODEL__{name}": value for name, value in variables.items()}


def member_environment(settings: Settings) -> dict[str, str]:
    """What makes `penstock serve` a member of the group of these settings, in their topics."""
    model = settings.all_models["default"]
    own = {
        "PENSTOCK_TOPICS__DEAD_LETTERS": settings.topics.dead_letters,
        "PENSTOCK_KAFKA__GROUP_ID": settings.kafka.group_id,
        "PENSTOCK_TELEMETRY__PORT": "0",
    }
    return environment(settings) | model_environment(model.name, str(model.api_base)) | own


@asynccontextmanager
async def started(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, **pipes: Any
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The process, killed at the end should it still run."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PENSTOCK_", "KAFKA_"))}
    process = await asyncio.create_subprocess_exec(
        PENSTOCK,
        *arguments,
        env={**inherited, **(env or {})},
        cwd=cwd,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **pipes,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def penstock(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: str = "",
) -> Ended:
    """Runs it to its end."""
    async with started(*arguments, env=env, cwd=cwd) as process:
        stdout, stderr = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return Ended(process.returncode, stdout.decode(), stderr.decode())
