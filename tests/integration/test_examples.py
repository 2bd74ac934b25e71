"""The examples as their users run them: by the line in their own text, and over Kafka."""

import asyncio
import importlib
import json
import re
import secrets
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from penstock.cli import inputs as command_line
from penstock.local import scripted
from penstock.local.prompt import ChatRequest, OutputField, sample, written
from tests.support.command import Ended, model_environment, penstock
from tests.support.conversation import serving
from tests.support.kafka import Call, Topics

EXAMPLES = {
    "question_answering": {"reasoning", "answer"},
    "retrieval": {"answer"},
    "agent": {"reasoning", "answer"},
    "extraction": {"order", "tone"},
}
"""The outputs that each streams; others it makes itself."""
TOOLS: tuple[tuple[str, dict[str, str]], ...] = (
    ("pieces_in_stock", {"article": "pump"}),
    ("days_of_delivery", {"city": "Oslo"}),
    ("finish", {}),
)


def model_says(request: ChatRequest) -> str:
    """As a model that follows the prompt: its tools in turn, and else what fits the types."""
    used = request.last("user").count("[[ ## tool_name_")
    name, arguments = TOOLS[min(used, len(TOOLS) - 1)]
    turn = {"next_tool_name": name, "next_tool_args": arguments}

    def value(field: OutputField) -> Any:
        return turn.get(field.name, sample(request, field, f"about {field.name}"))

    return written(request, value)


class Command(NamedTuple):
    """`penstock run ...`, as an example's text says it."""

    arguments: list[str]
    entry: str
    inputs: dict[str, str]


def command(example: str) -> Command:
    text = importlib.import_module(f"penstock.examples.{example}").__doc__
    [line] = re.findall(r"^penstock (run .*)$", text or "", re.MULTILINE)
    arguments = shlex.split(line)
    run, program, entry, *inputs = arguments
    assert (run, program) == ("run", "--program")
    return Command(arguments, entry, command_line.fields(inputs, bare=True))


class Seen(NamedTuple):
    """What each example said: the command of its text, and over Kafka completion and tokens."""

    ran: dict[str, Ended]
    completions: dict[str, dict[str, Any]]
    events: dict[str, list[dict[str, Any]]]


async def _run_all(servers: str, topics: Topics) -> Seen:
    commands = {name: command(name) for name in EXAMPLES}
    async with scripted.model(model_says, first_token_s=0, token_s=0) as model:
        env = model_environment(f"openai/{model.name}", model.api_base)
        ran = await asyncio.gather(*(penstock(*c.arguments, env=env) for c in commands.values()))
        programs = {name: {"entry": c.entry} for name, c in commands.items()}
        address = f"openai/{model.name}", model.api_base
        async with serving(servers, topics, *address, programs=programs) as (_, talk):
            for name, c in commands.items():
                await talk.ask({"id": name, "program": name, "inputs": c.inputs})
            await talk.ask({"id": "nothing", "program": "retrieval", "question": "???"})
            names = (*EXAMPLES, "nothing")
            completions = {name: await talk.completion(name) for name in names}
            return Seen(
                dict(zip(EXAMPLES, ran, strict=True)),
                completions,
                {name: await talk.ended(name) for name in names},
            )


@pytest.fixture(scope="module")
def seen(
    bootstrap_servers: str, kafka_admin: AIOKafkaAdminClient, session_loop: Call
) -> Iterator[Seen]:
    topics = Topics(f"examples-{secrets.token_hex(4)}-", kafka_admin, session_loop)
    yield asyncio.run(_run_all(bootstrap_servers, topics))
    session_loop(kafka_admin.delete_topics(topics.created))


def text_of(events: list[dict[str, Any]], field: str) -> str:
    return "".join(e["text"] for e in events if e["type"] == "token" and e["field"] == field)


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_streams_and_completes(seen: Seen, name: str) -> None:
    completion, events = seen.completions[name], seen.events[name]

    assert completion["status"] == "completed", completion["error"]
    assert not [event for event in events if event["type"] == "restart"]
    streamed = {e["field"] for e in events if e["type"] == "token" and e["output"]}
    assert streamed == EXAMPLES[name]
    for field in streamed:
        said, value = text_of(events, field), completion["outputs"][field]
        assert value == (said if isinstance(value, str) else json.loads(said))


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_line_in_its_text_runs_it(seen: Seen, name: str) -> None:
    ran, completion = seen.ran[name], seen.completions[name]

    assert (ran.code, ran.stderr) == (0, "")
    answer = completion["answer"]
    assert ran.stdout.rstrip("\n") == answer or json.loads(ran.stdout) == completion["outputs"]


def test_each_call_of_a_tool_is_a_status(seen: Seen) -> None:
    said = [event["text"] for event in seen.events["agent"] if event["type"] == "status"]

    assert said == [f"tool {name}" for name, _ in TOOLS]
    trajectory = seen.completions["agent"]["outputs"]["trajectory"]
    assert trajectory["observation_0"] == 7
    assert trajectory["observation_1"] == "2 days"


def test_what_is_retrieved_fits_the_question(seen: Seen) -> None:
    assert seen.completions["retrieval"]["outputs"]["sources"][-1] == "returns.md"
    assert seen.completions["nothing"]["outputs"]["sources"] == []
    # No model was asked.
    assert seen.completions["nothing"]["usage"]["total_tokens"] == 0


def test_what_is_extracted_has_its_types(seen: Seen) -> None:
    outputs = seen.completions["extraction"]["outputs"]

    order = {"customer": "about order", "lines": [{"article": "about order", "pieces": 7}]}
    assert outputs["order"] == {**order, "wanted_by": "2026-01-31"}
    assert outputs["tone"] == "friendly"
