"""Broker, model and service in this process and its children, for as long as they are watched."""

import asyncio
import contextlib
import importlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from penstock.cli import demo_show
from penstock.core.failure import Failure
from penstock.errors import PenstockError
from penstock.local import model, scripted
from penstock.local.broker import Kafka, broker
from penstock.local.jars import cache_dir
from penstock.settings import (
    IntakeSettings,
    KafkaSettings,
    ModelSettings,
    PoolSettings,
    ProgramSettings,
    Settings,
    TelemetrySettings,
    TopicSettings,
)
from penstock.telemetry import logs

if TYPE_CHECKING:
    from penstock import app

SLOTS = 3
INTERRUPTED = 130

Report = Callable[[str, int, int], None]


def run(*, keep: bool, count: int) -> int:
    """The exit code."""
    file = cache_dir() / "logs" / "demo.log"
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as stream:
        logs.configure("info", stream)
        logging.captureWarnings(capture=True)
        try:
            code = asyncio.run(_interruptible(_demo(stream, keep=keep, count=count)))
        except (KeyboardInterrupt, asyncio.CancelledError):
            return INTERRUPTED
        except PenstockError:
            _name(file)
            raise
        except Exception as error:
            logging.getLogger("penstock").exception("the demo failed")
            print(f"penstock: {type(error).__name__}: {error}", file=sys.stderr)
            code = 1
        finally:
            # What is said later must not meet a closed file.
            logging.getLogger().handlers[:] = [logging.NullHandler()]
    if code:
        _name(file)
    return code


def _name(log: Path) -> None:
    print(f"The log of the service: {log}", file=sys.stderr)


async def _interruptible(demo: Coroutine[None, None, int]) -> int:
    """SIGTERM as Ctrl-C: both end it in order."""
    task = asyncio.ensure_future(demo)
    # Where the loop has no signal handlers, asyncio itself cancels us at Ctrl-C.
    with contextlib.suppress(NotImplementedError):
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    return await task


async def _demo(log: TextIO, *, keep: bool, count: int) -> int:
    async with AsyncExitStack() as stack:
        with _progress() as report:
            kafka, small = await _start(stack, report)
            report("Starting the service", 0, 1)
            from penstock import app

            # Again: DSPy has brought a log of its own.
            logs.configure("info", log)
            service = await stack.enter_async_context(
                app.service(_settings(kafka.bootstrap_servers, small))
            )
            running = asyncio.create_task(service.run())
            stack.push_async_callback(_drained, service, running)
        failed = await demo_show.show(service, running, kafka.bootstrap_servers, small.title, count)
        demo_show.say_what_next(kafka.bootstrap_servers, keep=keep)
        if keep:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(running)
                raise demo_show.stopped(running)
        return 1 if failed else 0


@dataclass(frozen=True, slots=True)
class _Small:
    """The model that answers."""

    settings: ModelSettings
    title: str


async def _start(stack: AsyncExitStack, report: Report) -> tuple[Kafka, _Small]:
    """Kafka and the model, beside each other; DSPy is imported meanwhile."""
    try:
        async with asyncio.TaskGroup() as group:
            kafka = group.create_task(stack.enter_async_context(broker(progress=report)))
            small = group.create_task(_model(stack))
            group.create_task(asyncio.to_thread(importlib.import_module, "penstock.app"))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return kafka.result(), small.result()


async def _model(stack: AsyncExitStack) -> _Small:
    options = {"max_tokens": 80, "temperature": 0.7}
    if model.weights() is None or find_spec("xllamacpp") is None:
        print(
            "The small model is not installed (`make demo` does it): a scripted one answers.",
            file=sys.stderr,
        )
        scripted_one = await stack.enter_async_context(scripted.model())
        name, api_base = scripted_one.name, scripted_one.api_base
        title = "a scripted model"
    else:
        real = await stack.enter_async_context(model.model(slots=SLOTS))
        name, api_base = real.name, real.api_base
        title = "SmolLM2 135M, which makes things up"
    # So small a model cannot follow a format; and it rambles.
    wanted = ModelSettings(
        name=f"openai/{name}", api_base=api_base, api_key="none", adapter="plain", options=options
    )
    return _Small(wanted, title)


def _settings(bootstrap_servers: str, small: _Small) -> Settings:
    """Nothing of the environment: the demo shows the same to everyone."""
    return Settings.model_construct(
        kafka=KafkaSettings(bootstrap_servers=bootstrap_servers),
        topics=TopicSettings(partitions=2),
        pool=PoolSettings(slots=SLOTS),
        # Low enough for a handful of questions to pause the intake.
        intake=IntakeSettings(high=2, low=1),
        programs={"qa": ProgramSettings(entry="penstock.cli.demo_program:Answer")},
        model=small.settings,
        telemetry=TelemetrySettings(port=0),
        drain_ms=1_000,
    )


async def _drained(service: "app.Service", running: "asyncio.Task[Failure | None]") -> None:
    service.drain()
    await asyncio.wait((running,), timeout=5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@contextlib.contextmanager
def _progress() -> Iterator[Report]:
    """On a terminal a bar that goes away, else a line for each new step."""
    console = Console(stderr=True)
    if not console.is_terminal:
        said: set[str] = set()

        def line(what: str, _: int, __: int) -> None:
            if what not in said:
                said.add(what)
                print(what, file=sys.stderr, flush=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(SpinnerColumn(), *columns, console=console, transient=True) as bar:
        task = bar.add_task("Looking for Kafka", total=None)
        yield lambda what, done, total: bar.update(
            task, description=what, completed=done, total=total
        )
