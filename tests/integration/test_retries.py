"""The whole service on a real Kafka: what failed is tried again, and what readers see of it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from penstock.local.prompt import ChatRequest
from tests.support.kafka import Topics
from tests.support.model_server import Script
from tests.support.stage import stage

FLAKY = "openai/flaky"
AT_ONCE = {"base_ms": 1}


def in_turn(*behaviours: str) -> Script:
    """What the model does with a question at its first call, its second, ... and after that."""
    asked: dict[str, int] = {}

    def behave(_: int, request: ChatRequest) -> str:
        turn = asked[request.question] = asked.get(request.question, -1) + 1
        return behaviours[min(turn, len(behaviours) - 1)]

    return behave


def text(events: Sequence[dict[str, Any]]) -> str:
    return "".join(event["text"] for event in events if event["type"] == "token")


async def test_what_was_said_before_is_void_and_the_stream_has_no_gap(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = in_turn("cut?at=9", "500", "cut?at=7", "ok")
        async with on.serving(FLAKY, retry=AT_ONCE) as (_, talk):
            await talk.ask({"id": "q", "question": "?"})
            events, completion = await talk.ended("q"), await talk.completion("q")

            assert [event["sequence"] for event in events] == list(range(len(events)))
            assert completion["last_sequence"] == events[-1]["sequence"]
            restarts = [n for n, event in enumerate(events) if event["type"] == "restart"]
            # The second attempt had said nothing that the third would have to take back.
            assert [events[n]["attempt"] for n in restarts] == [2, 4]
            assert events[restarts[0]]["reason"] == "attempt 1 failed: connection_lost"
            assert [event["attempt"] for event in events] == sorted(e["attempt"] for e in events)
            assert text(events[: restarts[0]])
            assert text(events[restarts[-1] :]) == completion["answer"] == "You said ?"
            assert (completion["status"], completion["attempts"]) == ("completed", 4)
            assert completion["error"] is None
            await talk.to_the_end()
            assert not talk.dead


@pytest.mark.parametrize("program", ["CancelsItselfHalfway", "PanicsHalfway"])
async def test_what_was_said_before_is_void_however_it_has_ended(
    bootstrap_servers: str, topics: Topics, program: str
) -> None:
    programs = {"halfway": f"tests.support.programs:{program}"}
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = in_turn("ok?text=wrong", "ok")
        async with on.serving(FLAKY, retry=AT_ONCE, programs=programs) as (_, talk):
            await talk.ask({"id": "q", "question": "?"})
            events, completion = await talk.ended("q"), await talk.completion("q")

            [restart] = [n for n, event in enumerate(events) if event["type"] == "restart"]
            assert text(events[:restart]) == "wrong"
            assert text(events[restart:]) == completion["answer"] == "You said ?"
            assert events[restart]["attempt"] == completion["attempts"] == 2
            assert events[restart]["reason"] == "attempt 1 ended without an answer"


async def test_who_wants_no_tokens_is_tried_again_without_a_word(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = in_turn("malformed", "ok")
        async with on.serving(FLAKY, retry=AT_ONCE) as (_, talk):
            await talk.ask({"id": "q", "question": "?", "stream": False})
            completion = await talk.completion("q")
            await talk.to_the_end()

            assert (completion["status"], completion["attempts"]) == ("completed", 2)
            assert completion["last_sequence"] is None
            assert not talk.tokens


async def test_a_dead_letter_says_what_went_wrong_first_last_and_each_time(
    bootstrap_servers: str, topics: Topics
) -> None:
    retry = {**AT_ONCE, "max_attempts": 2, "answer_attempts": 3}
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = in_turn("cut", "unparsable", "503")
        async with on.serving(FLAKY, retry=retry) as (_, talk):
            await talk.ask({"id": "q", "question": "?"})
            completion = await talk.completion("q")
            [letter] = await talk.dead_letters(1)

            assert (completion["status"], completion["attempts"]) == ("failed", 3)
            assert completion["error"]["code"] == letter.header("penstock-error-code")
            assert letter.header("penstock-error-code") == "model_error"
            assert "503" in letter.header("__dlq.errors.message")
            assert letter.header("__dlq.errors.delivery.count") == "3"
            assert letter.header("penstock-first-error-kind") == "UPSTREAM"
            assert letter.header("penstock-first-error-code") == "connection_lost"
            tried = json.loads(letter.header("penstock-attempts"))
            assert [(one["attempt"], one["kind"], one["code"]) for one in tried] == [
                (1, "UPSTREAM", "connection_lost"),
                (2, "ANSWER", "unparsable_answer"),
                (3, "UPSTREAM", "model_error"),
            ]
            times = [one["at"] for one in tried]
            assert times == sorted(times)
            assert letter.header("penstock-error-at") >= times[-1]


@pytest.mark.parametrize("refusal", ["429", "503"])
async def test_nobody_is_asked_again_before_the_time_that_it_names(
    bootstrap_servers: str, topics: Topics, refusal: str
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = in_turn(f"{refusal}?retry_after=1", "ok")
        async with on.serving(FLAKY, retry=AT_ONCE) as (_, talk):
            await talk.ask({"id": "q", "question": "?"})
            completion = await talk.completion("q")

            assert (completion["status"], completion["attempts"]) == ("completed", 2)
            refused, answered = on.models.calls.latest
            assert refused.ended is not None
            assert answered.started - refused.ended >= 1.0


async def test_what_would_be_tried_too_late_is_given_up_at_once(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = in_turn("503?retry_after=60", "ok")
        async with on.serving(FLAKY, retry=AT_ONCE) as (_, talk):
            await talk.ask({"id": "q", "question": "?", "timeout_ms": 30_000})
            # Sooner than it expires.
            completion = await talk.completion("q", within=20)
            [letter] = await talk.dead_letters(1)

            assert (completion["status"], completion["attempts"]) == ("failed", 1)
            assert completion["error"]["code"] == "model_error"
            assert letter.header("penstock-error-stage") == "running"
            assert len(on.models.calls) == 1


async def test_what_runs_out_of_time_before_it_is_tried_again_expires(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = lambda number, _: (
            "503?first_ms=300" if number == 1 else "hang-before"
        )
        flags: dict[str, Any] = {"retry": {"base_ms": 100}, "pool": {"slots": 1}}
        async with on.serving(FLAKY, **flags) as (_, talk):
            await talk.ask({"id": "q", "question": "q", "timeout_ms": 1_000})
            await on.models.called(1)
            # It gets the only slot meanwhile.
            await talk.ask({"id": "other", "question": "other"})
            completion = await talk.completion("q")
            [letter] = await talk.dead_letters(1)
            await talk.cancel("other")

            assert (completion["status"], completion["attempts"]) == ("expired", 1)
            assert completion["error"]["kind"] == "DEADLINE"
            assert letter.header("penstock-error-stage") == "retrying"
            assert letter.header("penstock-first-error-code") == "model_error"
            assert (await talk.completion("other"))["status"] == "cancelled"


async def test_usage_is_that_of_all_attempts(bootstrap_servers: str, topics: Topics) -> None:
    behaviours = {
        "good": in_turn("ok"),
        "once": in_turn("unparsable", "ok"),
        "never": in_turn("unparsable"),
    }
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = lambda number, request: behaviours[request.question](
            number, request
        )
        retry = {**AT_ONCE, "answer_attempts": 2}
        async with on.serving(FLAKY, retry=retry) as (_, talk):
            await talk.ask_all(list(behaviours))
            used = {name: (await talk.completion(name))["usage"] for name in behaviours}

            for counted in ("prompt_tokens", "completion_tokens", "total_tokens"):
                good, once, never = (used[name][counted] for name in behaviours)
                assert 0 < good < once
                assert never % 2 == 0
                assert once == good + never // 2
            assert not used["good"]["estimated"]


async def test_while_it_waits_its_slot_is_another_s_and_its_key_still_its_own(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        behave = in_turn("503?retry_after=1", "ok")
        on.models.script["flaky"] = lambda number, request: (
            behave(number, request) if request.question == "first" else "ok"
        )
        flags: dict[str, Any] = {"retry": AT_ONCE, "pool": {"slots": 1}}
        async with on.serving(FLAKY, **flags) as (_, talk):
            await talk.ask_all(["first", "second"], key=b"a")
            await talk.ask_all(["other"], key=b"b")
            await talk.completions(3)

            asked = [call.user_message.split("\n")[1] for call in on.models.calls.latest]
            assert asked == ["first", "other", "first", "second"]
