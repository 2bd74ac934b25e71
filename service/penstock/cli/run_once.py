"""A program once, in this process: the same runner and the same token events as in the service."""

import asyncio
import logging
import sys
from contextlib import aclosing, redirect_stdout
from typing import Any, TextIO

import orjson
from rich.console import Console

from penstock import assembly, settings
from penstock.cli import raised
from penstock.cli.transcript import Transcript, final
from penstock.clock import Clock
from penstock.core.failure import Failure, Kind
from penstock.errors import ConfigurationError
from penstock.events.report import Report
from penstock.events.token import TokenEvent
from penstock.program.catalog import Program
from penstock.program.runner import Runner
from penstock.program.stream import TokenStream
from penstock.settings import ModelSettings, Settings
from penstock.settings.programs import default_program, program_named
from penstock.settings.secrets import hiding
from penstock.telemetry import logs

QUESTION_ID = "run"


def run(inputs: dict[str, str], program: str | None, model: str | None, *, as_json: bool) -> int:
    """The exit code."""
    loaded, name = chosen(program, model)
    logs.configure("error", hide=hiding(loaded))
    logs.tell_what_nobody_catches()
    out = sys.stdout
    # What the program prints is no part of what is said of it.
    with redirect_stdout(sys.stderr):
        return asyncio.run(_run(loaded, name, inputs, out, as_json=as_json))


def chosen(program: str | None, model: str | None) -> tuple[Settings, str]:
    """The settings with the one program that is to run and the one model it asks; its name.

    Raises:
        ConfigurationError: there is no such program.
    """
    loaded = settings.load()
    name, wanted = program_named(loaded, program or default_program(loaded))
    models = loaded.all_models
    if model is not None and model not in models:
        models = {model: _named(model, models.get(wanted.model)), **models}
    wanted = wanted.model_copy(update={"model": model or wanted.model})
    if wanted.model in models:
        models = {wanted.model: models[wanted.model]}
    # The others need neither be importable nor have a key.
    only = {"programs": {name: wanted}, "default_program": name, "model": None, "models": models}
    return loaded.model_copy(update=only), name


def _named(name: str, usual: ModelSettings | None) -> ModelSettings:
    """As the environment knows it; at the address and with the key of the usual one, if it is its
    sibling. A key is shown to nobody but the provider that it was set for.
    """
    provider, slash, _ = name.partition("/")
    if usual is not None and slash and usual.name.startswith(f"{provider}/"):
        return usual.model_copy(update={"name": name})
    return settings.load(models={"given": {"name": name}}).models["given"]


async def _run(
    loaded: Settings, name: str, inputs: dict[str, str], out: TextIO, *, as_json: bool
) -> int:
    programs = _load(loaded, name)
    _check(programs[name], inputs)
    console = Console(file=out, highlight=False)
    transcript = Transcript(console) if console.is_terminal and not as_json else None
    loop = asyncio.get_running_loop()

    async def send(value: bytes, _: int) -> "asyncio.Future[Any]":
        if as_json:
            print(value.decode(), file=out, flush=True)
        elif transcript is not None:
            transcript.show(TokenEvent.model_validate_json(value).root)
        acknowledged: asyncio.Future[Any] = loop.create_future()
        acknowledged.set_result(None)
        return acknowledged

    stream = TokenStream(QUESTION_ID, send)
    stream.attempt = 1
    report = Report()
    async with aclosing(programs[name].model):
        runner = Runner(programs, Clock(), hiding(loaded))
        failure, error = await _ask(runner, name, inputs, report, stream)
    await stream.end("completed" if failure is None else "failed")
    if transcript is not None:
        transcript.close()
    elif as_json:
        print(orjson.dumps(_outcome(report, failure)).decode(), file=out)
    elif failure is None:
        print(final(report.answer, report.outputs), file=out)
    if failure is None:
        return 0
    if error is not None:
        raised.show(error, hiding(loaded))
    message = " ".join(failure.message.split())
    print(f"penstock: failed ({failure.kind} {failure.code}): {message}", file=sys.stderr)
    return 1


def _load(loaded: Settings, name: str) -> dict[str, Program]:
    """As the service does; what a program of one's own raises meanwhile has its place."""
    try:
        return assembly.load_programs(loaded)
    except ConfigurationError as error:
        raise ConfigurationError(raised.told(error)) from error
    except SystemExit as error:
        said = f"program {name!r}: it ends Python: sys.exit({error})"
        raise ConfigurationError(raised.told(error, said)) from error


async def _ask(
    runner: Runner, name: str, inputs: dict[str, str], report: Report, stream: TokenStream
) -> tuple[Failure | None, BaseException | None]:
    """How it failed, and what was raised where that is the program's own fault."""
    errors = _told_to_the_log()
    try:
        failure = await runner.run(name, inputs, report, stream)
    except (asyncio.CancelledError, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001 - `sys.exit`, say; the service takes it so, too
        return Failure(Kind.ANSWER, "unexpected_error", type(error).__name__), error
    own = failure is not None and failure.code == "program_error"
    return failure, errors[-1] if own and errors else None


def _told_to_the_log() -> list[BaseException]:
    """Will hold what the program raises: the runner tells its log, and nobody else."""
    errors: list[BaseException] = []

    def take(record: logging.LogRecord) -> bool:
        if isinstance(record.msg, dict) and "exc_info" in record.msg:
            errors.append(record.msg["exc_info"])
        return False

    log = logging.getLogger("penstock.program")
    log.setLevel(logging.DEBUG)
    log.addFilter(take)
    return errors


def _check(program: Program, inputs: dict[str, str]) -> None:
    if missing := sorted(program.inputs - inputs.keys()):
        given = " ".join(f"{field}=..." for field in missing)
        raise ConfigurationError(f"the program {program.name!r} also needs: {given}")
    if unknown := sorted(inputs.keys() - program.accepts):
        known = ", ".join(sorted(program.accepts))
        raise ConfigurationError(
            f"the program {program.name!r} has no input {unknown[0]!r} (it has: {known})"
        )


def _outcome(report: Report, failure: Failure | None) -> dict[str, Any]:
    """As the completion says it, without what only Kafka knows."""
    return {
        "type": "completion",
        "question_id": QUESTION_ID,
        "status": "completed" if failure is None else "failed",
        "answer": report.answer,
        "outputs": report.outputs,
        "error": failure
        and {"kind": failure.kind, "code": failure.code, "message": failure.message},
        "program": report.program and report.program.model_dump(),
        "model": report.model,
        "usage": report.usage.model_dump(),
    }
