"""One question over Kafka: its tokens as they come, its status as the exit code."""

import asyncio
import logging
import shlex
import sys
from collections.abc import Collection
from contextlib import ExitStack, aclosing
from uuid import uuid4

from rich.console import Console

from penstock import settings
from penstock.cli.connecting import Way
from penstock.cli.transcript import Transcript, final
from penstock.client import Client
from penstock.errors import PublishError
from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.kafka.security import client_arguments

WAIT = 120.0
"""Seconds in which an answer is waited for where no deadline is asked for."""

PATIENCE = 5.0
"""Seconds after a question's own deadline in which the service may say that it expired."""


def run(
    way: Way,
    inputs: dict[str, str],
    program: str | None,
    key: str | None,
    timeout: float | None,
    *,
    as_json: bool,
) -> int:
    """The exit code."""
    client = connection(way)
    asked = {"id": str(uuid4()), "inputs": inputs, "program": program}
    question = Question.model_validate({**asked, "timeout_ms": timeout and timeout * 1000})
    wait = timeout or WAIT
    unanswered: set[str] = set()
    try:
        completion = asyncio.run(_ask(client, question, key, wait, unanswered, as_json=as_json))
    except TimeoutError:
        if timeout is not None:
            # It has expired.
            unanswered.clear()
        print(nobody(wait), file=sys.stderr)
        return 1
    except PublishError:
        unanswered.clear()
        raise
    finally:
        say_how_to_end(unanswered, way)
    if completion.status == "completed":
        return 0
    print(f"penstock: {reason(completion)}", file=sys.stderr)
    return 1


def connection(way: Way) -> Client:
    """A client by the settings; a flag comes first."""
    # It reports every refused connection and reconnect; what matters of it we say ourselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    loaded = settings.load(kafka=way.flags())
    topics = loaded.topics
    return Client(
        client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client),
        questions=topics.questions,
        tokens=topics.tokens,
        completions=topics.completions,
    )


def reason(completion: Completion) -> str:
    """Why it is not completed, on one line."""
    error = completion.error
    if error is None:
        return completion.status
    message = " ".join(error.message.split())
    return f"{completion.status} ({error.kind} {error.code}): {message}"


def nobody(timeout: float) -> str:
    return (
        f"penstock: no answer within {timeout:g} s; "
        "is `penstock serve` running on these brokers and topics, "
        "and neither paused nor its gate shut? (penstock status)"
    )


def say_how_to_end(unanswered: Collection[str], way: Way) -> None:
    """Nobody here waits for these questions any more, and yet they are worked, and paid for."""
    if unanswered:
        command = shlex.join(("penstock", "cancel", *way.words, *unanswered))
        print(f"penstock: still to be answered; to end that: {command}", file=sys.stderr)


async def _ask(
    client: Client,
    question: Question,
    key: str | None,
    wait: float,
    unanswered: set[str],
    *,
    as_json: bool,
) -> Completion:
    """How it ended; `unanswered` holds its id until then. `wait` in seconds."""
    assert question.id is not None
    console = Console(highlight=False)
    transcript = Transcript(console) if console.is_terminal and not as_json else None
    # Its tokens are asked for even where nobody watches: without, an expired one has no outputs.
    events = client.events(question, key)
    with ExitStack() as waiting:
        if transcript is not None:
            waiting.enter_context(Console(stderr=True).status("Waiting for an answer"))
        async with client, asyncio.timeout(wait + PATIENCE), aclosing(events):
            unanswered.add(question.id)
            async for event in events:
                waiting.close()
                if as_json:
                    print(event.model_dump_json(), flush=True)
                elif transcript is not None:
                    transcript.show(event)
                if isinstance(event, Completion):
                    unanswered.clear()
                    if transcript is not None:
                        transcript.close()
                    elif not as_json and (event.status == "completed" or event.partial):
                        print(final(event.answer, event.outputs), flush=True)
                    return event
    raise AssertionError("the last event is the completion")
