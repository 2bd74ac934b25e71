"""The demo's questions: asked all at once, watched until the last is answered."""

import asyncio
import shutil
import sys
from collections import deque
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.live import Live

from penstock.cli import demo_screen
from penstock.cli.demo_screen import Asked, State
from penstock.client import Client
from penstock.core.question import Phase
from penstock.errors import KafkaError, PenstockError
from penstock.events.completion import Completion
from penstock.kafka.security import client_arguments

if TYPE_CHECKING:
    from penstock.app import Service
    from penstock.core.failure import Failure

QUESTIONS = (
    "Why is the sky blue?",
    "How do bees find their way home?",
    "Why do cats purr?",
    "What is a black hole?",
    "Why does bread rise?",
    "How do whales sleep?",
    "Why is the sea salty?",
    "What makes a rainbow?",
    "How do birds fly?",
    "Why do leaves fall in autumn?",
    "Where does the wind come from?",
    "Why do we dream?",
)

FRAME_SECONDS = 0.1
RATE_SECONDS = 2.0


class _Watch:
    """What has happened to the questions so far."""

    def __init__(self, service: "Service", count: int) -> None:
        self.asked = [Asked(QUESTIONS[n % len(QUESTIONS)]) for n in range(count)]
        self._service = service
        self._turns = 0
        self._tokens: deque[float] = deque()

    async def ask(self, client: Client, one: Asked, *, plain: bool) -> None:
        async for event in client.ask(one.question):
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
    model: str,
    count: int,
) -> bool:
    """Whether a question was not answered.

    Raises:
        PenstockError: the service ended before the questions did.
    """
    watch = _Watch(service, count)
    console = Console()
    live = console.is_terminal
    title = f" Penstock │ Kafka at {bootstrap_servers} │ {model}"

    def frame() -> RenderableType:
        return demo_screen.frame(console, title, watch.asked, watch.state())

    if not live:
        print(
            f"{count} questions, {service.engine.policy.slots} answered at a time, by {model}",
            flush=True,
        )
    async with Client(client_arguments(bootstrap_servers, {})) as client:
        asks = asyncio.gather(*(watch.ask(client, one, plain=not live) for one in watch.asked))
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


def say_what_next(bootstrap_servers: str, *, keep: bool) -> None:
    """What to try now, in commands that can be copied."""
    penstock = _command()
    console = Console(highlight=False, soft_wrap=True, markup=False)

    def say(text: str, command: str) -> None:
        console.print(f" {text}")
        console.print(f"   {command}", style="cyan")

    console.print("\n Tokens came as records of penstock.tokens, ends as one record each of")
    console.print(" penstock.completions.", "Ctrl-C ends it." if keep else "")
    if keep:
        ask = f'{penstock} ask -b {bootstrap_servers} "Why is the moon round?"'
        say("Ask from another terminal:", ask)
    else:
        say("To ask it something of your own, this one stays up:", f"{penstock} demo --keep")
    say("Your own program, at first without Kafka:", f"{penstock} run --program module:Program ...")
    say("All the rest: README.md; all the tests:", "make test")


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
