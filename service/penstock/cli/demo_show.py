"""The demo's questions: asked all at once, watched until the last is answered."""

import asyncio
import shlex
import shutil
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from rich.console import Console, RenderableType
from rich.live import Live

from penstock.cli import demo_screen
from penstock.cli.demo_plan import Plan
from penstock.cli.demo_screen import Asked, State
from penstock.cli.inputs import QUESTION
from penstock.client import Client, KafkaClient
from penstock.core.question import Phase
from penstock.errors import KafkaError, PenstockError
from penstock.events.completion import Completion
from penstock.settings import TopicSettings

if TYPE_CHECKING:
    from penstock.app import Service
    from penstock.core.failure import Failure

Inputs = Mapping[str, Any]

FRAME_SECONDS = 0.1
RATE_SECONDS = 2.0


class _Watch:
    """What has happened to the questions so far."""

    def __init__(self, service: "Service", questions: Sequence[Inputs]) -> None:
        self.asked = [Asked(_title(inputs)) for inputs in questions]
        self._service = service
        self._turns = 0
        self._tokens: deque[float] = deque()

    async def ask(self, client: Client, inputs: Inputs, one: Asked, *, plain: bool) -> None:
        async for event in client.stream(inputs):
            if one.turn is None:
                one.turn = self._turns
                self._turns += 1
            one.add(event)
            self._tokens.append(asyncio.get_running_loop().time())
            if plain and isinstance(event, Completion):
                ended = sum(other.completion is not None for other in self.asked)
                print(f"[{ended}/{len(self.asked)}] {one.question} ({one.note})")
                print(f"    {' '.join(one.text.split())}", flush=True)

    def state(self) -> State:
        engine = self._service.engine
        since = asyncio.get_running_loop().time() - RATE_SECONDS
        while self._tokens and self._tokens[0] < since:
            self._tokens.popleft()
        open_questions = sum(one.completion is None for one in self.asked)
        return State(
            in_kafka=max(0, open_questions - len(engine.questions)),
            waiting=sum(q.phase is Phase.WAITING for q in engine.questions.values()),
            running=engine.admission.in_flight,
            slots=engine.policy.slots,
            paused=len(engine.intake.paused),
            partitions=len(engine.partitions),
            tokens_per_second=len(self._tokens) / RATE_SECONDS,
        )


async def show(
    service: "Service",
    running: "asyncio.Task[Failure | None]",
    bootstrap_servers: str,
    topics: TopicSettings,
    model: str,
    questions: Sequence[Inputs],
) -> bool:
    """Whether a question was not answered; each is asked of the default program.

    Raises:
        PenstockError: the service ended before the questions did.
    """
    watch = _Watch(service, questions)
    console = Console()
    live = console.is_terminal
    title = f" Penstock │ Kafka at {bootstrap_servers} │ {model}"

    def frame() -> RenderableType:
        return demo_screen.frame(console, title, watch.asked, watch.state())

    if not live:
        slots = service.engine.policy.slots
        print(f"{len(questions)} questions, {slots} answered at a time, by {model}", flush=True)
    async with KafkaClient(
        bootstrap_servers,
        questions=topics.questions,
        tokens=topics.tokens,
        completions=topics.completions,
    ) as client:
        asks = asyncio.gather(
            *(
                watch.ask(client, inputs, one, plain=not live)
                for inputs, one in zip(questions, watch.asked, strict=True)
            )
        )
        try:
            with Live(console=console, auto_refresh=False) if live else nullcontext() as screen:
                while not asks.done() and not running.done():
                    if screen is not None:
                        screen.update(frame(), refresh=True)
                    await asyncio.wait(
                        (asks, running),
                        timeout=FRAME_SECONDS if live else None,
                        return_when=asyncio.FIRST_COMPLETED,
                    )
                if screen is not None:
                    screen.update(frame(), refresh=True)
            if not asks.done():
                raise stopped(running)
            await asks
        finally:
            asks.cancel()
            await asyncio.gather(asks, return_exceptions=True)
    return any(one.state != "completed" for one in watch.asked)


def stopped(running: "asyncio.Task[Failure | None]") -> PenstockError:
    """Why the service ended although nobody asked it to."""
    if (error := running.exception()) is not None:
        return KafkaError(f"the service stopped: {error}")
    failure = running.result()
    reason = "nobody knows why" if failure is None else failure.message
    return KafkaError(f"the service stopped: {reason}")


class Page(NamedTuple):
    """The console of the gateway: its address, and the token for what an operator does."""

    address: str
    token: str


def say_what_next(bootstrap_servers: str, plan: Plan, page: Page | None) -> None:
    """What to try now, in commands that can be copied. `page`: there is one where it stays up."""
    topics = plan.settings.topics
    penstock = _command()
    console = Console(highlight=False, soft_wrap=True, markup=False)

    def say(text: str, command: str) -> None:
        console.print(f" {text}")
        console.print(f"   {command}", style="cyan")

    console.print(f"\n Tokens came as records of {topics.tokens}, ends as one record each of")
    console.print(f" {topics.completions}.{' Ctrl-C ends it.' if page else ''}")
    if page is not None:
        say("Ask in a browser, and watch it answer:", page.address)
        say("To pause or redrive something there, show it this token:", page.token)
        asked = _options(plan.question("Why is the moon round?"))
        say("Ask from another terminal:", f"{penstock} ask -b {bootstrap_servers} {asked}")
    else:
        say("To ask it something of your own, this one stays up:", f"{penstock} demo --keep")
    if plan.replaced is not None:
        say("With the model and the Kafka of penstock.toml:", f"{penstock} serve")
        return
    say("A project of your own, with a program and its test:", f"{penstock} init my-project")
    say("All the rest: README.md; all the tests:", "make test")


def _title(inputs: Inputs) -> str:
    if inputs.keys() == {QUESTION}:
        return str(inputs[QUESTION])
    return " ".join(f"{field}={_text(value)}" for field, value in inputs.items())


def _options(inputs: Inputs) -> str:
    """As `penstock ask` takes them; it takes texts alone."""
    if inputs.keys() == {QUESTION}:
        return f'"{inputs[QUESTION]}"'
    return " ".join(f"-i {field}={shlex.quote(_text(value))}" for field, value in inputs.items())


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _command() -> str:
    """How this program was called, as short as it can be typed here."""
    called = Path(sys.argv[0])
    found = shutil.which("penstock")
    if found is not None and called.exists() and Path(found).samefile(called):
        return "penstock"
    try:
        return str(called.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(called)
