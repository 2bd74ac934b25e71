"""Secrets are said by nobody: planted wherever a setting may hold one, and looked for in all that
leaves the process.
"""

import asyncio
import base64
import os
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from penstock import cli
from tests.support.command import Ended, penstock
from tests.support.model_server import ModelServer, model_server
from tests.support.processes import (
    PENSTOCK_SERVE,
    ROOT,
    Child,
    Running,
    service,
)
from tests.support.traffic import World, asking, reading, world

MARK = "PLANTED"
"""In every secret, so that a part of one is found, too."""
USER = f"user:{MARK}-pass/word"
IN_ADDRESS = f"user:{MARK}-pass%2Fword"
NEVER = (MARK, base64.b64encode(USER.encode()).decode())

VARIABLES = {
    "PENSTOCK_MODEL__API_KEY": f"sk-{MARK}-of-the-environment",
    "OPENAI_API_KEY": f"sk-{MARK}-by-its-customary-name",
}
DOTENV = f"PENSTOCK_MODELS__DOTENV__API_KEY=sk-{MARK}-of-dotenv\n"
TOML = f"""
[models.toml]
name = "openai/500?text=*headers*"
api_key = "sk-{MARK}-of-the-file"

[models.dotenv]
name = "openai/400?text=*headers*"

[models.customary]
name = "openai/error-frame?at=1&text=*headers*"

[models.native]
name = "openai/400?text=*headers*"
engine = "native"
api_key = "sk-{MARK}-of-another-client"
"""
MODULE = "tests.support.indiscreet_programs"
PROGRAMS = {
    "raises": "Raises",
    "rejects": "Rejects",
    "postpones": "Postpones",
    "thread": "InAThread",
    "behind": "Behind",
}
FAILING = ("toml", "dotenv", "customary", "native")


def folder_with(path: Path, api_base: str) -> None:
    """Secrets in both files."""
    host = api_base.removeprefix("http://")
    toml = TOML.replace("\nname =", f'\napi_base = "{api_base}"\nname =')
    # Only this engine takes such an address.
    toml += '[models.address]\nname = "openai/ok"\nengine = "litellm"\n'
    toml += f'api_base = "http://{IN_ADDRESS}@{host}?api_key={MARK}-query"\n'
    (path / "penstock.toml").write_text(toml)
    (path / ".env").write_text(DOTENV)


def refuse(*texts: str | bytes) -> None:
    """None of these says a secret."""
    for text in texts:
        said = text.decode(errors="replace") if isinstance(text, bytes) else text
        for secret in NEVER:
            at = said.find(secret)
            assert at < 0, f"a secret is said: {said[max(0, at - 300) : at + 100]}"


@pytest.fixture(autouse=True)
def _our_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


# --- commands -----------------------------------------------------------------------------------


def everywhere(models: ModelServer, folder: Path) -> dict[str, str]:
    """Secrets in the files of this folder; the environment has others."""
    folder_with(folder, models.api_base)
    return {
        **VARIABLES,
        "PENSTOCK_MODEL__NAME": "openai/ok",
        "PENSTOCK_MODEL__API_BASE": models.api_base,
        "PENSTOCK_KAFKA__CLIENT": f'{{"sasl.password": "{MARK}-password"}}',
        "PENSTOCK_KAFKA__CLIENT__SSL.KEY.PASSWORD": f"{MARK}-key-password",
        "PENSTOCK_KAFKA__CLIENT__SSL_KEY_PEM": f"{MARK}-pem",
        "PYTHONPATH": str(ROOT),
    }


async def test_config_says_no_secret(tmp_path: Path) -> None:
    async with model_server() as models:
        env = everywhere(models, tmp_path)
        for words in (("show",), ("show", "--output", "json"), ("validate",), ("schema",)):
            ended = await penstock("config", *words, env=env, cwd=tmp_path)
            # There is no listener behind so many secrets, and `validate` says so.
            assert ended.code == (2 if words == ("validate",) else 0)
            refuse(ended.stdout, ended.stderr)
        wrong = {
            **env,
            "PENSTOCK_MODEL__API_KEYS": f"{MARK}-misspelt",
            "PENSTOCK_MODEL": MARK,
            "PENSTOCK_MODELS__TOML__API_BASE": f"http://{IN_ADDRESS}@host?api_key={MARK}-query",
        }
        ended = await penstock("config", "validate", env=wrong, cwd=tmp_path)
        assert ended.code == 2
        refuse(ended.stdout, ended.stderr)


@pytest.mark.time_limit(240)
async def test_run_says_no_secret_whatever_fails(tmp_path: Path) -> None:
    answers = {"Behind"}
    # Each is a process that imports DSPy; the service below runs into all of them.
    failing = [
        *(("--model", model) for model in ("native", "openai/401?text=*headers*", "address")),
        *(("--program", f"{MODULE}:{name}") for name in ("Raises", "Behind", "CannotBeMade")),
    ]
    async with model_server() as models:
        env = everywhere(models, tmp_path)
        two = asyncio.Semaphore(2)

        async def run(*words: str) -> Ended:
            async with two:
                return await penstock("run", "Why?", *words, env=env, cwd=tmp_path)

        answered, *others = await asyncio.gather(run(), *(run(*words) for words in failing))
    assert answered.stdout == "You said Why?\n"
    for words, ended in zip(failing, others, strict=True):
        assert ended.stderr, words
        assert (ended.code == 0) == (words[1].rpartition(":")[2] in answers), (words, ended)
        refuse(ended.stdout, ended.stderr)


@pytest.mark.time_limit(120)
async def test_a_wrong_security_of_kafka_says_no_secret(
    bootstrap_servers: str, tmp_path: Path
) -> None:
    common = {
        "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
        "PENSTOCK_MODEL__NAME": "openai/ok",
        "PENSTOCK_LOG_LEVEL": "debug",
        **VARIABLES,
    }
    password = {"sasl.username": "me", "sasl.password": f"{MARK}-password"}
    cases = [
        {**password, "security.protocol": "PLAINTEXT"},
        {**password, "sasl.nonsense": f"{MARK}-nonsense"},
        # To a listener that knows neither: the client says at `debug` what it sends.
        {**password, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"},
        {**password, "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "NO-SUCH"},
    ]

    async def serve(client: Mapping[str, str]) -> Ended:
        names = {f"PENSTOCK_KAFKA__CLIENT__{name.upper()}": v for name, v in client.items()}
        return await penstock("serve", env={**common, **names}, cwd=tmp_path)

    for ended in await asyncio.gather(*map(serve, cases)):
        assert ended.code
        refuse(ended.stdout, ended.stderr)


def test_a_crash_of_a_command_says_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PENSTOCK_MODEL__NAME", "openai/ok")
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)

    def crash() -> None:
        raise LookupError(f"nothing at {os.environ['PENSTOCK_MODEL__API_KEY']}")

    monkeypatch.setattr(cli, "app", crash)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert ended.value.code == 1
    assert "LookupError: nothing at **********" in said
    refuse(said)


# --- the service --------------------------------------------------------------------------------


@asynccontextmanager
async def serving(
    kafka: World, models: ModelServer, lines: list[str], **settings: str
) -> AsyncIterator[Running]:
    """`penstock serve` at `debug`, in a folder with secrets; all its lines are kept."""

    async def start(environment: Mapping[str, str], folder: Path) -> Child:
        folder_with(folder, models.api_base)
        return await PENSTOCK_SERVE({**environment, **VARIABLES, "PYTHONPATH": str(ROOT)}, folder)

    own = {
        "LOG_LEVEL": "debug",
        "RETRY__MAX_ATTEMPTS": "1",
        "RETRY__ANSWER_ATTEMPTS": "1",
        "PROGRAMS__QA": "question -> answer",
        "DEFAULT_PROGRAM": "qa",
        **dict(_programs()),
        **settings,
    }
    async with service(kafka, models, own, start) as running:
        running.hear(lines.append)
        yield running


def _programs() -> Iterator[tuple[str, str]]:
    for name, attribute in PROGRAMS.items():
        yield f"PROGRAMS__{name.upper()}", f"{MODULE}:{attribute}"
    for model in FAILING:
        yield f"PROGRAMS__{model.upper()}__ENTRY", "question -> answer"
        yield f"PROGRAMS__{model.upper()}__MODEL", model


async def everything_written(kafka: World) -> list[bytes]:
    """Keys, values and headers of all topics, as they are."""
    consumer = AIOKafkaConsumer(bootstrap_servers=kafka.servers, enable_auto_commit=False)
    await consumer.start()
    try:
        # Of one partition each.
        partitions = [TopicPartition(topic, 0) for topic in kafka.topics.values()]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        found: list[bytes] = []
        for partition, end in (await consumer.end_offsets(partitions)).items():
            while await consumer.position(partition) < end:
                for records in (await consumer.getmany(timeout_ms=1_000)).values():
                    for record in records:
                        found += [record.key or b"", record.value or b""]
                        found += [value or b"" for _, value in record.headers]
        return found
    finally:
        await consumer.stop()


@pytest.mark.time_limit(120)
async def test_a_service_says_no_secret_whatever_fails(bootstrap_servers: str) -> None:
    lines: list[str] = []
    asked = ["qa", *PROGRAMS, *FAILING]
    async with world(bootstrap_servers, "secrets", 1) as kafka, model_server() as models:
        async with (
            serving(kafka, models, lines) as running,
            reading(kafka, "completions") as completions,
            asking(kafka) as asker,
        ):
            for program in asked:
                await asker.ask(program, program=program)
            await running.meanwhile(completions.until(len(asked)), 45)
            async with aiohttp.ClientSession() as session, session.get(running.address) as page:
                metrics = await page.text()
            code = await running.terminate()
        written = await everything_written(kafka)
    assert code == 0
    assert "penstock_dead_letters_total" in metrics
    refuse(metrics, *lines, *written)
    told = b"\n".join(written)
    # What was said in a secret's place: everything else that failed is still told.
    assert told.count(b"***") > 2 * len(FAILING)


@pytest.mark.time_limit(120)
async def test_a_service_that_stops_says_no_secret(bootstrap_servers: str) -> None:
    stops = {
        "openai/401?text=*headers*": ("question -> answer", 4),
        "openai/ok": (f"{MODULE}:BreaksTheLoop", 1),
    }

    async def stop(model: str, program: str, expected: int) -> None:
        lines: list[str] = []
        async with world(bootstrap_servers, "secrets", 1) as kafka, model_server() as models:
            settings = {"MODEL__NAME": model, "PROGRAMS__QA": program}
            async with (
                serving(kafka, models, lines, **settings) as running,
                asking(kafka) as asker,
            ):
                await asker.ask("q")
                code = await running.meanwhile(running.ended(), 30)
            written = await everything_written(kafka)
        assert code == expected
        assert any("**********" in line or "***" in line for line in lines)
        refuse(*lines, *written)

    await asyncio.gather(*(stop(model, *how) for model, how in stops.items()))
