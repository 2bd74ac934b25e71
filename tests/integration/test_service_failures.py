"""The whole service on a real Kafka: models that misbehave, and questions that run out of time."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import starmap
from typing import Any

import pytest

from penstock.core.failure import Failure, Kind
from penstock.local.prompt import ChatRequest
from tests.support.conversation import Conversation, conversation, serving
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.service import running_service, settings_for

FAULTS = {
    "500": ("UPSTREAM", "model_error"),
    "503": ("UPSTREAM", "model_error"),
    "429?retry_after=0": ("UPSTREAM", "rate_limited"),
    "cut": ("UPSTREAM", "connection_lost"),
    "error-frame": ("UPSTREAM", "model_error"),
    "unparsable": ("ANSWER", "unparsable_answer"),
    "context": ("RECORD", "context_window_exceeded"),
    "400": ("RECORD", "invalid_request"),
}


async def test_every_fault_of_a_model_has_a_kind_and_a_code(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with model_server() as models:
        common = {"api_base": models.api_base, "api_key": "none"}
        flags = {
            "models": {f"m{n}": {"name": f"openai/{m}", **common} for n, m in enumerate(FAULTS)},
            "programs": {
                "good": "question -> answer",
                **{
                    model: {"entry": "question -> answer", "model": f"m{n}"}
                    for n, model in enumerate(FAULTS)
                },
            },
        }
        serve = serving(bootstrap_servers, topics, "openai/ok", models.api_base, **flags)
        async with serve as (_, talk):
            for model in FAULTS:
                await talk.ask({"id": model, "question": "?", "program": model}, b"k")
                await talk.ask({"id": f"after {model}", "question": "?"}, b"k")
            completions = await talk.completions(2 * len(FAULTS))
            letters = await talk.dead_letters(len(FAULTS))
            bodies = {record.body["question_id"]: record.body for record in completions}
            for model in FAULTS:
                await talk.ended(model)
            await talk.to_the_end()

            found = {
                model: (bodies[model]["error"]["kind"], bodies[model]["error"]["code"])
                for model in FAULTS
            }
            assert found == FAULTS
            assert len(letters) == len(FAULTS) == len(talk.dead)
            for model, letter in zip(FAULTS, letters, strict=True):
                assert bodies[model]["status"] == "failed"
                assert bodies[model]["attempts"] >= 1
                assert talk.said(model)[-1]["status"] == "failed"
                assert bodies[f"after {model}"]["status"] == "completed"
                assert letter.header("penstock-error-kind") == FAULTS[model][0]
                assert letter.header("penstock-error-stage") == "running"
                assert int(letter.header("__dlq.errors.delivery.count")) >= 1
                # The text of a question or an answer is nobody's business but its reader's.
                assert "fill in a form" not in letter.header("__dlq.errors.message")


async def test_a_bad_key_stops_the_service_and_costs_no_question(
    bootstrap_servers: str, topics: Topics
) -> None:
    topics.create("questions", 1)

    def expires(count: int, _: ChatRequest) -> str:
        return "ok" if count == 1 else "401"

    async with model_server() as models:
        models.script["expiring"] = expires
        settings = settings_for(bootstrap_servers, topics, "openai/expiring", models.api_base)
        serve = running_service(bootstrap_servers, topics, "openai/expiring", models.api_base)
        async with serve as service, conversation(settings.kafka, settings.topics) as talk:
            run = asyncio.ensure_future(service.loop.run)  # noqa: F841
            await talk.ask_all(["first", "second", "third"], key=b"k")
            await talk.completion("first")
