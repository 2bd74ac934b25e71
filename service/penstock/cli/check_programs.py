"""Do the programs load, and do their models answer?"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from penstock import assembly
from penstock.cli import raised
from penstock.clock import Clock
from penstock.core.failure import RATE_LIMITED, Kind
from penstock.errors import ConfigurationError
from penstock.finding import Finding, Level
from penstock.program.catalog import Program
from penstock.program.classify import classify
from penstock.program.model import Model
from penstock.settings import Settings

ANSWER_SECONDS = 30.0

HELLO = "Say ok."


async def look(loaded: Settings, *, asks: bool) -> AsyncIterator[Finding]:
    """`asks`: the models, each once."""
    async with AsyncExitStack() as stack:
        models: dict[str, Model] = {}
        for name, wanted in loaded.programs.items():
            try:
                program = _load(loaded, name)
            except ConfigurationError as error:
                about = f"program {name!r}"
                said = str(error).removeprefix(f"{about}: ")
                yield Finding(Level.WRONG, about, f"cannot be served: {said}")
                continue
            stack.push_async_callback(program.model.aclose)
            models.setdefault(wanted.model, program.model)
            yield _of_program(program, wanted.model)
        for name, model in models.items():
            about = f"model {name!r} ({model.name})"
            if asks:
                yield await _of_model(about, model)
            else:
                yield Finding(Level.SKIPPED, about, "is not asked")


def _load(loaded: Settings, name: str) -> Program:
    """This one alone: what is wrong with another is said of that one."""
    wanted = loaded.programs[name]
    update: dict[str, object] = {"programs": {name: wanted}, "default_program": name}
    if (model := loaded.all_models.get(wanted.model)) is not None:
        update |= {"model": None, "models": {wanted.model: model}}
    try:
        return assembly.load_programs(loaded.model_copy(update=update))[name]
    except ConfigurationError as error:
        raise ConfigurationError(raised.told(error)) from error
    except SystemExit as error:
        said = f"it ends Python: sys.exit({error})"
        raise ConfigurationError(raised.told(error, said)) from error


def _of_program(program: Program, model: str) -> Finding:
    about = f"program {program.name!r}"
    fields = program.module.named_predictors()[-1][1].signature.output_fields
    texts = [name for name, field in fields.items() if field.annotation is str]
    if not texts:
        return Finding(
            Level.WARNING,
            about,
            f"has no text among its outputs ({', '.join(fields)}): the completion's `answer` is "
            "null, and there is nothing to be read while it is written",
            "add an output such as `answer: str`, or read `outputs`",
        )
    inputs = ", ".join(sorted(program.inputs)) or "nothing"
    answer = "answer" if "answer" in texts else texts[-1]
    return Finding(
        Level.OK,
        about,
        f"asks model {model!r}; needs {inputs}, answers with {answer!r}, version {program.version}",
    )


async def _of_model(about: str, model: Model) -> Finding:
    clock = Clock()
    asked = clock.monotonic()
    try:
        async with asyncio.timeout(ANSWER_SECONDS):
            await _say_ok(model)
    except TimeoutError:
        said = f"does not answer within {ANSWER_SECONDS:g} s"
        return Finding(Level.WRONG, about, said, "is it at this address, and up?")
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        failure = classify(error)
        message = " ".join(failure.message.split())
        # Whoever is told to wait is known, and so is the model.
        level = Level.WARNING if failure.code == RATE_LIMITED else Level.WRONG
        said = f"refuses ({failure.kind} {failure.code}): {message}"
        return Finding(level, about, said, REMEDIES.get(failure.code))
    took = (clock.monotonic() - asked) * 1000
    return Finding(Level.OK, about, f"answers in {took:.0f} ms; this one call was paid for")


async def _say_ok(model: Model) -> None:
    try:
        await model.lm.acall(HELLO, max_tokens=1)
    except Exception as error:
        # There are models that have to think first, and refuse to be cut off.
        if classify(error).kind is not Kind.RECORD:
            raise
        await model.lm.acall(HELLO)


REMEDIES = {
    "model_auth": "see API_KEY of this model",
    "model_unpaid": "see the account at the provider",
    "unknown_model": "see NAME and API_BASE of this model",
    "model_configuration": "see the settings of this model",
    "connection_lost": "see API_BASE of this model, and whether it is up",
    RATE_LIMITED: "set its RPM and TPM to what the provider grants",
}
