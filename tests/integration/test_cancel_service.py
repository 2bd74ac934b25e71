"""The whole service on a real Kafka: questions that nobody wants answered any more."""

from typing import Any

import pytest

from penstock.core import facts
from tests.support.command import environment, penstock
from tests.support.kafka import Topics
from tests.support.model_server import Script
from tests.support.observing import observe
from tests.support.service import settings_for
from tests.support.stage import Stage, stage

MODEL = "openai/moody"
NOBODY = "[::1]:1"


def by_question(**behaviours: str) -> Script:
    """What the model does with a question of that name; all others it answers."""
    return lambda _, request: behaviours.get(request.question, "ok")


async def cancelled(on: Stage, *question_ids: str) -> None:
    """By the command, as an operator would."""
    settings = settings_for(on.servers, on.topics, MODEL, on.models.api_base)
    ended = await penstock("cancel", *question_ids, env=environment(settings))
    assert (ended.code, ended.stderr) == (0, "")
    said = [f"asked all replicas to cancel {question_id}" for question_id in question_ids]
    assert ended.stdout.splitlines() == said


async def test_what_runs_is_cut_off_and_its_key_goes_on(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = by_question(silent="hang-before", broken="hang-during?at=9")
        async with on.serving(MODEL) as (_, talk):
            for name in ("silent", "broken"):
                await talk.ask_all([name, f"after {name}"], key=name.encode())
            await talk.until(lambda: talk.said("broken"), bool)
            await on.models.called(2)
            await cancelled(on, "silent", "broken")
            # The connections to the model are closed.
            await on.models.disconnected(2)
            ends = {name: await talk.completion(name) for name in ("silent", "broken")}
            events = {name: await talk.ended(name) for name in ends}

            for name, completion in ends.items():
                assert (completion["status"], completion["attempts"]) == ("cancelled", 1)
                assert completion["error"]["kind"] == "CANCELLED"
                assert completion["outputs"] is completion["answer"] is None
                assert completion["usage"]["estimated"]
                assert (completion["usage"]["prompt_tokens"] > 10) == (name == "broken")
                assert (completion["usage"]["completion_tokens"] > 0) == (name == "broken")
                assert completion["dead_letter"] is None
                assert events[name][-1]["status"] == "cancelled"
                numbers = [event["sequence"] for event in events[name]]
                assert numbers == list(range(completion["last_sequence"] + 1))
                assert (await talk.completion(f"after {name}"))["status"] == "completed"
            assert [event["type"] for event in events["silent"]] == ["end"]
            assert events["broken"][0]["type"] == "token"
            await talk.to_the_end()
            assert not talk.dead


async def test_what_waits_is_never_asked(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = by_question(busy="held")
        async with on.serving(MODEL, pool={"slots": 1}) as (_, talk):
            await talk.ask_all(["busy", "same key", "after it"], key=b"a")
            await talk.ask_all(["other key"], key=b"b")
            await on.models.called(1)
            await talk.cancel("same key", "other key")
            waiting = [await talk.completion(name) for name in ("same key", "other key")]
            assert on.models.calls.in_flight == 1
            on.models.let_end()
            assert (await talk.completion("busy"))["status"] == "completed"
            assert (await talk.completion("after it"))["status"] == "completed"

            for completion in waiting:
                assert (completion["status"], completion["attempts"]) == ("cancelled", 0)
                assert completion["timing"]["duration_ms"] is None
                assert completion["last_sequence"] == 0
            assert len(on.models.calls) == 2


async def test_what_is_to_be_tried_again_is_not(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = by_question(flaky="503?retry_after=60")
        async with on.serving(MODEL) as (service, talk):
            seen = observe(service, monkeypatch)
            await talk.ask_all(["flaky", "after it"], key=b"a")
            await seen.until(facts.RetryAt)
            await talk.cancel("flaky")
            completion = await talk.completion("flaky")

            assert (completion["status"], completion["attempts"]) == ("cancelled", 1)
            assert completion["error"]["kind"] == "CANCELLED"
            assert (await talk.completion("after it"))["status"] == "completed"
            assert len(on.models.calls) == 2
            await talk.to_the_end()
            assert not talk.dead


async def test_it_may_be_cancelled_before_it_is_asked(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on, on.serving() as (service, talk):
        seen = observe(service, monkeypatch)
        await talk.cancel("early", "wrong")
        await seen.until(facts.CancelRequested, 2)
        await talk.ask_all(["early", "next"], key=b"a")
        # It could not be answered in any case, and says why.
        await talk.ask({"id": "wrong"}, key=b"a")
        completion = await talk.completion("early")

        assert (completion["status"], completion["attempts"]) == ("cancelled", 0)
        assert (await talk.completion("next"))["status"] == "completed"
        assert (await talk.completion("wrong"))["error"]["kind"] == "RECORD"
        assert len(on.models.calls) == 1


async def test_what_nobody_knows_and_what_has_ended_changes_nothing(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage(bootstrap_servers, topics) as on, on.serving() as (service, talk):
        seen = observe(service, monkeypatch)
        await talk.ask_all(["done"], key=b"a")
        before = await talk.completion("done")
        await seen.until(facts.Published)
        await talk.cancel("nobody", "done")
        await seen.until(facts.CancelRequested, 2)
        await talk.ask_all(["next"], key=b"a")
        await talk.completion("next")
        await talk.to_the_end()

        assert [one.body["question_id"] for one in talk.completed] == ["done", "next"]
        assert talk.completed[0].body == before
        assert {one["question_id"] for one in (record.body for record in talk.tokens)} == {
            "done",
            "next",
        }


async def test_what_is_cancelled_while_nobody_serves_is_cancelled(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = by_question(cut="held")
        async with on.serving(MODEL, drain=False) as (_, talk):
            await talk.ask_all(["cut", "waits", "next"], key=b"a")
            await on.models.called(1)
        await cancelled(on, "cut", "waits")
        async with on.serving(MODEL) as (_, talk):
            await talk.completion("next")
            await talk.to_the_end()

            ended = {one.body["question_id"]: one.body["status"] for one in talk.completed}
            assert ended == {"cut": "cancelled", "waits": "cancelled", "next": "completed"}
            assert len(talk.completed) == 3
            # The first one's own, and that of the last.
            assert len(on.models.calls) == 2


async def test_who_wants_no_tokens_gets_none_of_its_end_either(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["moody"] = by_question(quiet="hang-during")
        async with on.serving(MODEL) as (_, talk):
            await talk.ask({"id": "quiet", "question": "quiet", "stream": False})
            await on.models.called(1)
            await talk.cancel("quiet")
            await on.models.disconnected(1)
            completion = await talk.completion("quiet")
            await talk.to_the_end()

            assert (completion["status"], completion["last_sequence"]) == ("cancelled", None)
            assert not talk.tokens


CANNOT: dict[str, tuple[dict[str, str], list[str], str]] = {
    "no such topic": ({}, ["cancel", "q"], "penstock serve"),
    "no Kafka": ({"PENSTOCK_KAFKA__BOOTSTRAP_SERVERS": NOBODY}, ["cancel", "q"], NOBODY),
    "nothing to cancel": ({}, ["cancel"], "ID"),
}


@pytest.mark.parametrize("name", CANNOT)
async def test_what_it_cannot_ask_it_says(
    bootstrap_servers: str, topics: Topics, name: str
) -> None:
    own, words, why = CANNOT[name]
    env: dict[str, Any] = environment(settings_for(bootstrap_servers, topics, MODEL)) | own
    ended = await penstock(*words, env=env)
    assert ended.code == 2
    assert why in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not ended.stdout
