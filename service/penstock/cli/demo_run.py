"""Broker, model and service in this process and its children, for as long as they are watched."""

import asyncio
import contextlib
import importlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn

from penstock.cli import demo_plan, demo_show
from penstock.cli.demo_plan import SLOTS, Models, StandIn
from penstock.core.failure import Failure
from penstock.errors import PenstockError
from penstock.local import model, scripted
from penstock.local.broker import Kafka, broker
from penstock.local.jars import cache_dir
from penstock.settings import GatewaySettings, ModelSettings, Settings
from penstock.settings.secrets import hiding
from penstock.telemetry import logs

if TYPE_CHECKING:
    from penstock import app

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
            report("Loading the program", 0, 1)
            plan = demo_plan.plan()
            kafka, models = await _start(stack, report)
            report("Starting the service", 0, 1)
            from penstock import app

            # Again: DSPy has brought a log of its own.
            logs.configure("info", log, hiding(plan.settings))
            settings = plan.served(kafka.bootstrap_servers, models)
            service = await stack.enter_async_context(app.service(settings))
            running = asyncio.create_task(service.run())
            stack.push_async_callback(_drained, service, running)
            page = await _page(stack, settings) if keep else None
        servers, topics = kafka.bootstrap_servers, plan.settings.topics
        failed = await demo_show.show(
            service, running, servers, topics, plan.title(models), plan.questions(count)
        )
        demo_show.say_what_next(servers, plan, page)
        if keep:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.shield(running)
                raise demo_show.stopped(running)
        return 1 if failed else 0


async def _page(stack: AsyncExitStack, settings: Settings) -> demo_show.Page:
    """On a free port of this machine, open to whoever is on it."""
    from penstock.gateway.server import serving

    own = settings.model_copy(update={"gateway": GatewaySettings(port=0)})
    running = await stack.enter_async_context(serving(own, grace=0))
    token = running.parts.access.operator_token
    assert token is not None, "no tokens are set"
    return demo_show.Page(running.address, token)


async def _start(stack: AsyncExitStack, report: Report) -> tuple[Kafka, Models]:
    """Kafka and the models, beside each other; DSPy is imported meanwhile."""
    try:
        async with asyncio.TaskGroup() as group:
            kafka = group.create_task(stack.enter_async_context(broker(progress=report)))
            models = group.create_task(_models(stack))
            group.create_task(asyncio.to_thread(importlib.import_module, "penstock.app"))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return kafka.result(), models.result()


async def _models(stack: AsyncExitStack) -> Models:
    said = await stack.enter_async_context(scripted.model())
    typed = StandIn(_settings(said, "chat"), "a scripted model")
    if model.weights() is None or find_spec("xllamacpp") is None:
        print(
            "The small model is not installed (`make demo` does it): a scripted one answers.",
            file=sys.stderr,
        )
        return Models(StandIn(_settings(said, "plain"), typed.title), typed)
    real = await stack.enter_async_context(model.model(slots=SLOTS))
    # So small a model cannot follow a format; and it rambles.
    options = {"max_tokens": 80, "temperature": 0.7}
    small = _settings(real, "plain").model_copy(update={"options": options})
    return Models(StandIn(small, "SmolLM2 135M, which makes things up"), typed)


def _settings(
    served: model.Served | scripted.Served, adapter: Literal["chat", "plain"]
) -> ModelSettings:
    return ModelSettings(
        name=f"openai/{served.name}", api_base=served.api_base, api_key="none", adapter=adapter
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
