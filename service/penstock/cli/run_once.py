"""A program once, in this process: the same runner and the same token events as in the service."""

import asyncio
import sys
from typing import Any

import orjson
from rich.console import Console

from penstock import app, settings
from penstock.cli.transcript import Transcript, final
from penstock.clock import Clock
from penstock.core.failure import Failure
from penstock.errors import ConfigurationError
from penstock.events.report import Report
from penstock.events.token import TokenEvent
from penstock.program.catalog import Program
from penstock.program.runner import Runner
from penstock.program.stream import TokenStream
from penstock.settings import ProgramSettings, Settings
from penstock.telemetry import logs

QUESTION_ID = "run"


def run(inputs: dict[str, str], program: str | None, model: str | None, *, as_json: bool) -> int:
    """The exit code."""
    loaded, name = chosen(program, model)
    logs.configure("error")
    return asyncio.run(_run(loaded, name, inputs, as_json=as_json))


def chosen(program: str | None, model: str | None) -> tuple[Settings, str]:
    """The settings with the one program that is to run, and its name.

    Raises:
        ConfigurationError: there is no such program.
    """
    loaded = settings.load()
    own = model if model in loaded.all_models else None
    if model is not None and own is None:
        loaded = settings.load(model={"name": model})
        own = "default"
    name = program or app.default_program(loaded)
    if "->" in name or ":" in name:
        wanted = ProgramSettings(entry=name)
        name = name.replace(" ", "") if "->" in name else name
    elif name in loaded.programs:
        wanted = loaded.programs[name]
    else:
        raise ConfigurationError(
            f"--program {name!r} is none of PROGRAMS ({', '.join(loaded.programs)}), "
            "nor a signature such as 'question -> answer', nor 'package.module:attribute'"
        )
    if own is not None:
        wanted = wanted.model_copy(update={"model": own})
    # The others need not even be importable.
    return loaded.model_copy(update={"programs": {name: wanted}, "default_program": name}), name


async def _run(loaded: Settings, name: str, inputs: dict[str, str], *, as_json: bool) -> int:
    programs = app.load_programs(loaded)
    _check(programs[name], inputs)
    console = Console(highlight=False)
    transcript = Transcript(console) if console.is_terminal and not as_json else None
    loop = asyncio.get_running_loop()

    async def send(value: bytes, _: int) -> "asyncio.Future[Any]":
        if as_json:
            print(value.decode(), flush=True)
        elif transcript is not None:
            transcript.show(TokenEvent.model_validate_json(value).root)
        acknowledged: asyncio.Future[Any] = loop.create_future()
        acknowledged.set_result(None)
        return acknowledged

    stream = TokenStream(QUESTION_ID, send)
    stream.attempt = 1
    report = Report()
    try:
        failure = await Runner(programs, Clock()).run(name, inputs, report, stream)
    finally:
        for program in programs.values():
            await program.model.aclose()
    await stream.end("completed" if failure is None else "failed")
    if transcript is not None:
        transcript.close()
    elif as_json:
        print(orjson.dumps(_outcome(report, failure)).decode())
    elif failure is None:
        print(final(report.answer, report.outputs))
    if failure is None:
        return 0
    message = " ".join(failure.message.split())
    print(f"penstock: failed ({failure.kind} {failure.code}): {message}", file=sys.stderr)
    return 1


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
