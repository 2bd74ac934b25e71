"""One question over Kafka: its tokens as they come, its status as the exit code."""

import asyncio
import logging
import sys
from contextlib import ExitStack, aclosing

from rich.console import Console

from penstock import settings
from penstock.cli.transcript import Transcript, final
from penstock.client import Client
from penstock.events.completion import Completion
from penstock.kafka.security import client_arguments

PATIENCE = 5.0
"""Seconds after a question's own deadline in which the service may say that it expired."""


def run(
    bootstrap_server: str | None,
    inputs: dict[str, str],
    program: str | None,
    key: str | None,
    timeout: float,
    *,
    as_json: bool,
) -> int:
    """The exit code."""
    client = connection(bootstrap_server)
    try:
        completion = asyncio.run(_ask(client, inputs, program, key, timeout, as_json=as_json))
    except TimeoutError:
        print(nobody(timeout), file=sys.stderr)
        return 1
    if completion.status == "completed":
        return 0
    print(f"penstock: {reason(completion)}", file=sys.stderr)
    return 1


def connection(bootstrap_server: str | None) -> Client:
    """A client by the settings; a flag comes first."""
    # It reports every refused connection and reconnect; what matters of it we say ourselves.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    flags = {} if bootstrap_server is None else {"bootstrap_servers": bootstrap_server}
    loaded = settings.load(kafka=flags)
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
        "is `penstock serve` running, on these brokers and topics?"
    )


async def _ask(
    client: Client,
    inputs: dict[str, str],
    program: str | None,
    key: str | None,
    seconds: float,
    *,
    as_json: bool,
) -> Completion:
    console = Console(highlight=False)
    transcript = Transcript(console) if console.is_terminal and not as_json else None
    events = client.ask(
        inputs,
        program=program,
        timeout_ms=seconds * 1000,
        key=key,
        stream=as_json or transcript is not None,
    )
    with ExitStack() as waiting:
        if transcript is not None:
            waiting.enter_context(Console(stderr=True).status("Waiting for an answer"))
        async with client, asyncio.timeout(seconds + PATIENCE), aclosing(events):
            async for event in events:
                waiting.close()
                if as_json:
                    print(event.model_dump_json(), flush=True)
                elif transcript is not None:
                    transcript.show(event)
                if isinstance(event, Completion):
                    if transcript is not None:
                        transcript.close()
                    elif not as_json and event.status == "completed":
                        print(final(event.answer, event.outputs), flush=True)
                    return event
    raise AssertionError("the last event is the completion")
