"""DSPy programs of every kind through the whole service: what they stream and what they answer.

One service runs all of them, each with the model that plays along.
"""

import asyncio
import re
import secrets
from collections.abc import Iterator
from itertools import groupby
from typing import Any, NamedTuple

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from tests.support.conversation import serving
from tests.support.kafka import Call, Topics
from tests.support.model_server import model_server

HERE = "tests.support.programs"
THREADS = "tests.support.thread_programs"


class Spoken(NamedTuple):
    """The events of one field, in one call of one step, put together."""

    step: str
    call: int
    name: str
    output: bool
    text: str


class Run(NamedTuple):
    """A program, its model, what it streams, and its outputs."""

    entry: str
    model: str
    spoken: list[Spoken]
    outputs: dict[str, Any]
    answer: str | None = "You said ?"


PREDICTED = Spoken("self", 0, "answer", True, "You said ?")
RUNS = {
    "signature": Run("question -> answer", "ok", [PREDICTED], {"answer": "You said ?"}),
    "json": Run("question -> answer", "json", [PREDICTED], {"answer": "You said ?"}),
    "plain": Run("question -> answer", "plain", [PREDICTED], {"answer": "You said ?"}),
    "another model": Run(
        "question -> answer", "echo", [PREDICTED._replace(text="?")], {"answer": "?"}, "?"
    ),
    "other fields": Run(
        "question -> title, body",
        "ok",
        [
            Spoken("self", 0, "title", True, "You said ?"),
            Spoken("self", 0, "body", True, "You said ?"),
        ],
        {"title": "You said ?", "body": "You said ?"},
    ),
    "chain of thought": Run(
        f"{HERE}:thoughtful",
        "ok",
        [
            Spoken("predict", 0, "reasoning", True, "You said ?"),
            Spoken("predict", 0, "answer", True, "You said ?"),
        ],
        {"reasoning": "You said ?", "answer": "You said ?"},
    ),
    "draft then answer": Run(
        f"{HERE}:DraftThenAnswer",
        "ok",
        [
            Spoken("draft", 0, "draft", False, "You said ?"),
            Spoken("answer", 0, "answer", True, "You said ?"),
        ],
        {"answer": "You said ?"},
    ),
    "types": Run(
        f"{HERE}:Counted",
        "ok",
        [
            Spoken("self", 0, "facts", True, '["You said ?"]'),
            Spoken("self", 0, "count", True, "7"),
        ],
        {"facts": ["You said ?"], "count": 7},
        None,
    ),
    "types in JSON": Run(
        "question -> score: float, sure: bool, answer",
        "json",
        [
            Spoken("self", 0, "score", True, "0.5"),
            Spoken("self", 0, "sure", True, "true"),
            Spoken("self", 0, "answer", True, "You said ?"),
        ],
        {"score": 0.5, "sure": True, "answer": "You said ?"},
    ),
    "a tool": Run(
        f"{HERE}:agent",
        "react",
        [
            Spoken("react", 0, "next_thought", False, "I will ask lookup."),
            Spoken("react", 0, "next_tool_name", False, "lookup"),
            Spoken("react", 0, "next_tool_args", False, '{"topic":"?"}'),
            Spoken("react", 1, "next_thought", False, "I know enough."),
            Spoken("react", 1, "next_tool_name", False, "finish"),
            Spoken("react", 1, "next_tool_args", False, "{}"),
            Spoken("extract.predict", 0, "reasoning", True, "You said ?"),
            Spoken("extract.predict", 0, "answer", True, "You said ?"),
        ],
        {"reasoning": "You said ?", "answer": "You said ?"},
    ),
    "the same step twice": Run(
        f"{HERE}:AskTwice",
        "ok",
        [
            Spoken("predict", 0, "answer", True, "You said ?"),
            Spoken("predict", 1, "answer", True, "You said You said ?"),
        ],
        {"answer": "You said You said ?"},
        "You said You said ?",
    ),
    "changes its answer in Python": Run(
        f"{HERE}:Shout",
        "ok",
        [Spoken("", 0, "answer", True, "YOU SAID ?")],
        {"answer": "YOU SAID ?"},
        "YOU SAID ?",
    ),
    "half a character": Run(
        f"{HERE}:HalfACharacter",
        "ok",
        [Spoken("", 0, "answer", True, "\ufffd")],
        {"answer": "\ufffd"},
        "\ufffd",
    ),
    "a forward alone": Run(
        f"{THREADS}:Forward",
        "ok",
        [Spoken("predict", 0, "answer", True, "You said ?")],
        {"answer": "You said ?"},
    ),
    "the best of three": Run(
        f"{THREADS}:best_of_3",
        "ok",
        [
            Spoken("module.predict", call, name, True, "You said ?")
            for call in range(3)
            for name in ("reasoning", "answer")
        ],
        {"reasoning": "You said ?", "answer": "You said ?"},
    ),
    "a tool in a thread": Run(
        f"{THREADS}:Agent",
        "react",
        [
            Spoken("agent.react", 0, "next_thought", False, "I will ask where_it_awaits."),
            Spoken("agent.react", 0, "next_tool_name", False, "where_it_awaits"),
            Spoken("agent.react", 0, "next_tool_args", False, '{"topic":"?"}'),
            Spoken("agent.react", 1, "next_thought", False, "I know enough."),
            Spoken("agent.react", 1, "next_tool_name", False, "finish"),
            Spoken("agent.react", 1, "next_tool_args", False, "{}"),
            Spoken("agent.extract.predict", 0, "reasoning", True, "You said ?"),
            Spoken("agent.extract.predict", 0, "answer", True, "You said ?"),
        ],
        {"answer": "You said ?"},
    ),
    "threads of its own": Run(
        f"{THREADS}:InParallel",
        "ok",
        [Spoken("", 0, "answer", True, "You said ?1, You said ?2, You said ?3")],
        {"answer": "You said ?1, You said ?2, You said ?3"},
        "You said ?1, You said ?2, You said ?3",
    ),
    "several calls at once": Run(
        f"{HERE}:AtOnce",
        "ok",
        [Spoken("", 0, "answer", True, "You said ?2")],
        {"answer": "You said ?2"},
        "You said ?2",
    ),
    "goes on in Python": Run(
        f"{HERE}:Sign",
        "ok",
        [
            Spoken("predict", 0, "answer", True, "You said ?, sincerely"),
            Spoken("", 0, "model", True, "mine"),
        ],
        {"answer": "You said ?, sincerely", "model": "mine"},
        "You said ?, sincerely",
    ),
}


TAKEN_BACK = ("changes its answer in Python", "half a character", "several calls at once")

FAILING = {
    "raises": (f"{HERE}:Broken", "ANSWER", "program_error"),
    "raises after it has spoken": (f"{HERE}:Halfway", "ANSWER", "program_error"),
    "answers what is no JSON": (f"{HERE}:Unencodable", "ANSWER", "unexpected_error"),
    "rejects": ("tests.program.test_verdicts:InAThread", "RECORD", "rejected"),
    "wants to be asked later": ("tests.program.test_verdicts:Later", "ANSWER", "retry_later"),
}

Outcome = dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]
"""The completion and the token events of each program."""


async def _run_all(servers: str, topics: Topics) -> Outcome:
    entries = {name: (run.entry, run.model) for name, run in RUNS.items()}
    entries |= {name: (entry, "ok") for name, (entry, *_) in FAILING.items()}
    async with model_server() as server:
        models = {
            name: {
                "name": f"openai/{name}",
                "api_base": server.api_base,
                "api_key": "none",
                "adapter": name if name in {"json", "plain"} else "chat",
            }
            for name in {model for _, model in entries.values()}
        }
        programs = {name: {"entry": e, "model": model} for name, (e, model) in entries.items()}
        flags = {
            "models": models,
            "programs": programs,
            "default_program": "signature",
            "retry": {"answer_attempts": 1},
        }
        serve = serving(servers, topics, "openai/ok", server.api_base, **flags)
        async with serve as (_, talk):
            for name in entries:
                await talk.ask({"id": name, "question": "?", "program": name})
            return {name: (await talk.completion(name), await talk.ended(name)) for name in entries}


@pytest.fixture(scope="module")
def outcome(
    bootstrap_servers: str, kafka_admin: AIOKafkaAdminClient, session_loop: Call
) -> Iterator[Outcome]:
    topics = Topics(f"programs-{secrets.token_hex(4)}-", kafka_admin, session_loop)
    yield asyncio.run(_run_all(bootstrap_servers, topics))
    session_loop(kafka_admin.delete_topics(topics.created))


def _spoken(events: list[dict[str, Any]]) -> list[Spoken]:
    """As a reader puts it together: by field and call, and nothing from before a restart."""
    last = max((n for n, event in enumerate(events) if event["type"] == "restart"), default=-1)
    tokens = [event for event in events[last + 1 :] if event["type"] == "token"]
    return [
        Spoken(*part, "".join(token["text"] for token in pieces))
        for part, pieces in groupby(
            tokens, lambda t: (t["step"], t["call"], t["field"], t["output"])
        )
    ]


@pytest.mark.parametrize("name", RUNS)
def test_a_program_answers(outcome: Outcome, name: str) -> None:
    run, (completion, _) = RUNS[name], outcome[name]

    assert (completion["status"], completion["answer"]) == ("completed", run.answer)
    assert {key: completion["outputs"][key] for key in run.outputs} == run.outputs
    assert completion["program"]["name"] == name
    assert re.fullmatch("[0-9a-f]{12}", completion["program"]["version"])
    assert completion["model"] == f"openai/{run.model}"
    usage = completion["usage"]
    assert usage["prompt_tokens"] > 0
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


@pytest.mark.parametrize("name", RUNS)
def test_a_program_streams_every_field(outcome: Outcome, name: str) -> None:
    completion, events = outcome[name]

    assert _spoken(events) == RUNS[name].spoken
    assert [event["sequence"] for event in events] == list(range(len(events)))
    assert events[-1] == events[completion["last_sequence"]]


@pytest.mark.parametrize("name", TAKEN_BACK)
def test_what_was_streamed_in_vain_is_taken_back(outcome: Outcome, name: str) -> None:
    kinds = [event["type"] for event in outcome[name][1]]

    assert kinds.count("restart") == 1


@pytest.mark.parametrize("name", [name for name in RUNS if name not in TAKEN_BACK])
def test_what_was_streamed_well_is_not_repeated(outcome: Outcome, name: str) -> None:
    assert [event["reason"] for event in outcome[name][1] if event["type"] == "restart"] == []


def test_tools_are_told_about(outcome: Outcome) -> None:
    said = [event["text"] for event in outcome["a tool"][1] if event["type"] == "status"]

    assert said == ["tool lookup", "tool finish"]


@pytest.mark.parametrize("name", FAILING)
def test_a_program_that_fails_is_an_answer_that_failed(outcome: Outcome, name: str) -> None:
    completion, events = outcome[name]

    assert (completion["status"], events[-1]["status"]) == ("failed", "failed")
    _, kind, code = FAILING[name]
    assert (completion["error"]["kind"], completion["error"]["code"]) == (kind, code)
    assert completion["dead_letter"]


def test_what_was_said_before_a_failure_stays_said(outcome: Outcome) -> None:
    _, events = outcome["raises after it has spoken"]

    assert _spoken(events) == [Spoken("predict", 0, "answer", True, "You said ?")]


def test_a_programs_own_reason_is_told(outcome: Outcome) -> None:
    completion, _ = outcome["rejects"]

    assert completion["error"]["message"] == "there is no customer 7"
