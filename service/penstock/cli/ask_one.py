"""One question: its tokens as they come, its status as the exit code."""

import asyncio
import sys
from contextlib import ExitStack, aclosing
from http import HTTPStatus
from uuid import uuid4

from rich.console import Console

from penstock.cli.ask_door import Door
from penstock.cli.transcript import Transcript, final
from penstock.client import Client
from penstock.client.batch import PATIENCE
from penstock.errors import GatewayError, PublishError
from penstock.events.completion import Completion
from penstock.events.question import Question

WAIT = 120.0
"""Seconds in which an answer is waited for where no deadline is asked for."""


def run(
    door: Door,
    inputs: dict[str, str],
    program: str | None,
    key: str | None,
    timeout: float | None,
    *,
    as_json: bool,
) -> int:
    """The exit code."""
    asked = {"id": str(uuid4()), "inputs": inputs, "program": program}
    question = Question.model_validate({**asked, "timeout_ms": timeout and timeout * 1000})
    wait = timeout or WAIT
    unanswered: set[str] = set()
    try:
        completion = asyncio.run(
            _ask(door.client, question, key, wait, unanswered, as_json=as_json)
        )
    except TimeoutError:
        if timeout is not None:
            # It has expired.
            unanswered.clear()
        print(door.nobody(wait), file=sys.stderr)
        return 1
    except PublishError:
        unanswered.clear()
        raise
    except GatewayError as error:
        if error.status is not None and error.status < HTTPStatus.INTERNAL_SERVER_ERROR:
            # It was not taken; of all else nobody knows.
            unanswered.clear()
        raise
    finally:
        door.say_how_to_end(unanswered)
    if completion.status == "completed":
        return 0
    print(f"penstock: {reason(completion)}", file=sys.stderr)
    return 1


def reason(completion: Completion) -> str:
    """Why it is not completed, on one line."""
    error = completion.error
    if error is None:
        return completion.status
    message = " ".join(error.message.split())
    return f"{completion.status} ({error.kind} {error.code}): {message}"


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
