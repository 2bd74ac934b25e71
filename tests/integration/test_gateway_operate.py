"""What the console sees and an operator does, over HTTP on a real Kafka."""

import asyncio
import base64
import dataclasses
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from penstock.clock import Clock
from penstock.gateway import replays
from penstock.gateway.app import application
from penstock.gateway.caller import Caller
from penstock.gateway.server import Serving
from penstock.kafka import control
from penstock.replay import redrive_one
from penstock.replay.plan import KEY, Part, Plan, encode
from penstock.status import Status
from tests.support.gateway import answered, running_gateway
from tests.support.kafka import Topics
from tests.support.letters import Morgue, morgue
from tests.support.recorded import Recorder, recording

PATIENCE_S = 20.0
PROBLEM = "application/problem+json"


def client_of(gateway: Serving) -> httpx.AsyncClient:
    """An operator."""
    shown = {"Authorization": f"Bearer {gateway.parts.access.operator_token}"}
    return httpx.AsyncClient(base_url=gateway.address, timeout=30, headers=shown)


async def events(client: httpx.AsyncClient) -> AsyncIterator[dict[str, Any]]:
    """Of the overview, as they come."""
    async with client.stream("GET", "/v1/overview/events") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        async for line in response.aiter_lines():
            if line.startswith("data: "):
                yield json.loads(line.removeprefix("data: "))


async def seen(client: httpx.AsyncClient, enough: Any) -> dict[str, Any]:
    """The first overview that is."""
    async for said in events(client):
        if said["status"] is not None and enough(said):
            return said
    raise AssertionError("the stream has ended")


async def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == PROBLEM
    document: dict[str, Any] = response.json()
    assert (document["status"], document["code"]) == (status, code), document
    return document


# --- a service behind it --------------------------------------------------------------------------


async def test_the_console_sees_what_goes_by_and_what_stands_still(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        answered(bootstrap_servers, topics, "openai/ok") as gateway,
        client_of(gateway) as client,
    ):
        for question in ("Why?", "How?"):
            assert (await client.post("/predict", json={"question": question})).is_success
        failed = await client.post("/predict", json={"question": "?", "program": "none"})
        assert failed.json()["code"] == "unknown_program", failed.text

        said = await seen(client, lambda said: said["status"]["members"])
        assert (said["why_not"], said["gateway"]["auth"]) == (None, "none")
        assert said["index"] == {"questions": 3, "unanswered": 0}
        rates = said["rates"]
        assert rates["asked_per_second"] == rates["ended_per_second"] > 0
        assert rates["failed_per_second"] == pytest.approx(rates["asked_per_second"] / 3, abs=0.01)
        assert rates["tokens_per_second"] > 0
        assert rates["duration_ms"]["p50"] <= rates["duration_ms"]["p95"]
        now = (await client.get("/v1/overview")).json()
        assert now.keys() == said.keys()
        assert now["status"].keys() == {field.name for field in dataclasses.fields(Status)}

        history = (await client.get("/v1/history")).json()
        assert {len(values) for values in history.values()} == {60}
        assert [sum(history[name]) for name in ("asked", "ended", "failed")] == [3, 3, 1]
        assert sum(history["tokens"]) > 0
        assert any(value is not None for value in history["p95_ms"])

        listed = (await client.get("/v1/recent-questions")).json()["questions"]
        assert [one["status"] for one in listed] == ["failed", "completed", "completed"]
        assert listed[0]["code"] == "unknown_program"
        assert listed[1]["asked_at"] >= listed[2]["asked_at"]
        assert listed[1]["first_token_at"] >= listed[1]["asked_at"]
        only = {"status": "failed", "program": "none", "limit": "1"}
        found = (await client.get("/v1/recent-questions", params=only)).json()["questions"]
        assert found == listed[:1]

        [program] = (await client.get("/v1/programs")).json()["programs"]
        assert (program["name"], program["default"], program["inputs"]) == (
            "qa",
            True,
            ["question"],
        )

        await pauses(client)
        who = Caller(programs=frozenset({"qa"}))
        await a_caller_who_is_no_operator(gateway, who)


async def pauses(client: httpx.AsyncClient) -> None:
    paused = await client.post("/v1/pauses/partition/1", json={"reason": "the disk is full"})
    assert (paused.status_code, paused.json()) == (202, {"scope": "partition/1"})
    assert (await client.post("/v1/pauses/program/qa")).status_code == 202
    said = await seen(client, lambda said: len(said["status"]["pauses"]) == 2)
    reasons = {one["scope"]: one["value"].get("reason") for one in said["status"]["pauses"]}
    assert reasons == {"partition/1": "the disk is full", "program/qa": None}
    for scope in ("partition/1", "program/qa", "all"):
        assert (await client.delete(f"/v1/pauses/{scope}")).status_code == 202
    await seen(client, lambda said: not said["status"]["pauses"])
    await problem(await client.post("/v1/pauses/partition/2"), 404, "unknown_partition")
    for scope in ("partition/03", "everything", "program/", "partition/-1"):
        assert (await client.post(f"/v1/pauses/{scope}")).status_code == 400, scope


async def a_caller_who_is_no_operator(gateway: Serving, who: Caller) -> None:
    class Door:
        open = True

        async def caller(self, _: Any) -> Caller:
            return who

    door: Any = Door()
    app = application(dataclasses.replace(gateway.parts, access=door))
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        for method, path in (
            ("GET", "/v1/dead-letters"),
            ("GET", "/v1/dead-letters/0/0"),
            ("POST", "/v1/dead-letters/0/0/redrive"),
            ("POST", "/v1/pauses/all"),
            ("DELETE", "/v1/pauses/all"),
            ("GET", "/v1/replays"),
            ("GET", "/v1/replays/monday/compare"),
        ):
            await problem(await client.request(method, path), 403, "operators_only")
        listed = (await client.get("/v1/recent-questions")).json()["questions"]
        assert {one["program"] for one in listed} == {"qa"}, "and nothing of another program"
        assert len((await client.get("/v1/programs")).json()["programs"]) == 1
        assert (await client.get("/v1/overview")).is_success


async def test_a_gateway_that_starts_knows_the_newest_questions(
    bootstrap_servers: str, topics: Topics
) -> None:
    for topic in ("questions", "tokens", "completions"):
        topics.create(topic, 6)
    topics.create("control")
    async with recording(bootstrap_servers, topics) as record:
        # Whichever partition comes last, it is hardly the newest one.
        for partition in (0, 1, 2, 4, 5, 3):
            await asyncio.gather(*(record.question("?", partition) for _ in range(250)))
    own = {"gateway": {"window_ids": 50}}
    async with (
        running_gateway(bootstrap_servers, topics, **own) as gateway,
        client_of(gateway) as client,
    ):
        found = (await client.get("/v1/recent-questions")).json()["questions"]
        history = (await client.get("/v1/history")).json()
    assert {one["partition"] for one in found} == {3}
    offsets = [one["offset"] for one in found]
    assert (len(offsets), offsets[0]) == (50, 249)
    assert sum(history["asked"]) == 1500, "what was asked before it started is told, too"


# --- dead letters ---------------------------------------------------------------------------------


@asynccontextmanager
async def letters_and_gateways(
    servers: str, topics: Topics
) -> AsyncIterator[tuple[Morgue, httpx.AsyncClient, httpx.AsyncClient]]:
    """Two replicas, and no service."""
    async with morgue(servers, topics) as dead:
        topics.create("tokens", 2)
        topics.create("completions", 2)
        async with (
            running_gateway(servers, topics) as one,
            running_gateway(servers, topics) as other,
            client_of(one) as first,
            client_of(other) as second,
        ):
            yield dead, first, second


async def test_dead_letters_are_read_from_the_newest_on(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with letters_and_gateways(bootstrap_servers, topics) as (dead, client, _):
        assert (await client.get("/v1/dead-letters")).json() == {"dead_letters": [], "next": None}
        overview = (await client.get("/v1/overview")).json()
        assert overview["status"] is None
        assert overview["why_not"], "nobody has ever served"
        assert (await client.get("/v1/programs")).json() == {"programs": []}

        for number in range(25):
            kind = "RECORD" if number % 5 == 0 else "UPSTREAM"
            program = {"program": "other"} if number == 7 else {}
            await dead.letter(
                number % 4, {"id": f"q{number}", **program}, kind=kind, code=f"c{number % 2}"
            )
            # One behind the other by their times, too.
            await asyncio.sleep(0.002)
        found, before, pages = list[Any](), None, 0
        while pages == 0 or before is not None:
            params = {"limit": 10} | ({} if before is None else {"before": before})
            page = (await client.get("/v1/dead-letters", params=params)).json()
            found += page["dead_letters"]
            before, pages = page["next"], pages + 1
        assert [one["question_id"] for one in found] == [f"q{n}" for n in reversed(range(25))]
        assert pages == 3

        async def those(**params: str) -> list[str]:
            answer = (await client.get("/v1/dead-letters", params=params)).json()
            return [one["question_id"] for one in answer["dead_letters"]]

        assert await those(kind="RECORD", code="c0") == ["q20", "q10", "q0"]
        assert await those(program="other") == ["q7"]
        for asked in ("kind=none", "before=x", "limit=0"):
            answer = await client.get(f"/v1/dead-letters?{asked}")
            assert (answer.status_code, answer.headers["content-type"]) == (400, PROBLEM), asked

        message, odd = "long " * 200, (("trace", b"\xff\x00"), ("plain", b"text"), ("none", None))
        record = await dead.letter(1, b"\xfe no text", b"key", odd, message=message)
        [row] = (await client.get("/v1/dead-letters?limit=1")).json()["dead_letters"]
        assert (row["offset"], row["message"]) == (record.offset, message[:500])
        place = f"/v1/dead-letters/{record.partition}/{record.offset}"
        whole = (await client.get(place)).json()
        assert whole["message"] == message
        assert whole["key"] == {"text": "key"}
        assert base64.b64decode(whole["value"]["base64"]) == b"\xfe no text"
        assert whole["headers"][:3] == [
            ["trace", {"base64": "/wA="}],
            ["plain", {"text": "text"}],
            ["none", None],
        ]
        assert whole["source"]["topic"] == topics.name("questions")
        # Somebody else has written it.
        record = await dead.producer.send_and_wait(
            topics.name("dead-letters"), b"{}", None, 0, headers=[("penstock-attempts", b"[1]")]
        )
        answer = await client.get(f"/v1/dead-letters/0/{record.offset}")
        assert (answer.status_code, answer.json()["tried"]) == (200, []), answer.text
        for place in ("0/99", "1/13", "7/0"):
            await problem(await client.get(f"/v1/dead-letters/{place}"), 404, "unknown_dead_letter")


async def test_two_clicks_on_two_replicas_put_a_letter_back_once(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with letters_and_gateways(bootstrap_servers, topics) as (dead, first, second):
        await dead.many(4)
        letter = await dead.letter(3, {"id": "twice"})
        place = f"/v1/dead-letters/{letter.partition}/{letter.offset}/redrive"
        clicks = [client.post(place) for client in (first, second) for _ in range(2)]
        answers = await asyncio.gather(*clicks)
        done = [answer for answer in answers if answer.status_code == 200]
        assert len(done) == 1, [answer.text for answer in answers]
        for answer in answers:
            if answer is not done[0]:
                assert answer.status_code == 409
                assert answer.json()["code"] in {"redriven_before", "redriven_meanwhile"}
        [asked] = await dead.read()
        question = done[0].json()["question"]
        assert question == {
            "topic": topics.name("questions"),
            "partition": 3,
            "offset": asked.offset,
            "id": "twice",
        }
        for client in (first, second):
            document = await problem(await client.post(place), 409, "redriven_before")
            assert document["question"] == {
                "topic": question["topic"], "partition": 3, "offset": asked.offset,
            }  # fmt: skip

        with monkeypatch.context() as patch:
            # It is not among the last questions any more.
            patch.setattr(redrive_one, "LOOKED_AT", 0)
            document = await problem(await second.post(place), 409, "redriven_before")
        assert (document["question"], len(await dead.read())) == (None, 1)

        # The command of this selection knows of it.
        words = ("redrive", "--execute", "--output", "json", "--partition", str(letter.partition))
        command = await dead.dlq(*words, "--offset", f"{letter.offset}:{letter.offset + 1}")
        assert (command.code, json.loads(command.stdout)["redriven"]) == (0, 0), command.stderr
        # And what the command has put back, by whichever id, is found among the questions.
        assert (await dead.dlq("redrive", "--execute", "--partition", "0")).code == 0
        document = await problem(
            await first.post("/v1/dead-letters/0/0/redrive"), 409, "redriven_before"
        )
        assert document["question"]["partition"] == 0
        assert len(await dead.read()) == 3

        await dead.letter(0, {"id": "thrice"}, None, (("penstock-redrives", b"3"),))
        await dead.letter(0, {"id": "other"}, topic="another.questions")
        ends = await dead.ends()
        for offset, why in ((2, "redriven 3 times or more before"), (3, "another.questions")):
            answer = await first.post(f"/v1/dead-letters/0/{offset}/redrive")
            assert why in (await problem(answer, 409, "not_redrivable"))["detail"]
        await problem(await first.post("/v1/dead-letters/0/99/redrive"), 404, "unknown_dead_letter")
        assert await dead.ends() == ends, "nothing is written of what does not go"


# --- replays --------------------------------------------------------------------------------------


async def a_replay(record: Recorder, servers: str, topics: Topics) -> None:
    """Of four questions: the same, another answer, a failure, and nothing yet."""
    asked = [await record.question(f"question {n}?", n % 2) for n in range(4)]
    for where, (before, after) in zip(
        asked, (("a", "a"), ("b", "B"), ("c", None), ("d", "")), strict=True
    ):
        await record.completion(where, {"answer": before})
        if after != "":
            await record.completion(
                where,
                None if after is None else {"answer": after},
                replay="monday",
                topic="again.completions",
                partition=0,
                status="failed" if after is None else "completed",
            )
    plan = Plan(
        id="monday",
        created_at=1_795_434_000_123,
        questions=topics.name("questions"),
        group=f"{record.group}.replay.monday",
        original_group=record.group,
        tokens=topics.name("again.tokens"),
        completions=topics.name("again.completions"),
        dead_letters=topics.name("again.dead-letters"),
        parts=[Part(partition=number, start=0, end=2) for number in range(2)],
        model="large",
    )
    said = {f"{KEY}monday": encode(plan), f"{KEY}later": b'{"type": "replay", "of": "later"}'}
    client = {"bootstrap_servers": servers}
    await control.say(client, topics.name("control"), said, Clock())


async def test_a_replay_is_listed_and_compared_one_at_a_time(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    for topic in ("questions", "tokens", "completions"):
        topics.create(topic, 2)
    for topic in ("control", "again.completions"):
        topics.create(topic)
    async with (
        running_gateway(bootstrap_servers, topics) as gateway,
        client_of(gateway) as client,
        recording(bootstrap_servers, topics) as record,
    ):
        assert (await client.get("/v1/replays")).json() == {"replays": []}
        await a_replay(record, bootstrap_servers, topics)
        [replay] = (await client.get("/v1/replays")).json()["replays"]
        assert (replay["id"], replay["total"], replay["model"]) == ("monday", 4, "large")
        assert replay["progress"] == {"done": 0, "over": False}

        compare = "/v1/replays/monday/compare"
        found = (await client.get(compare)).json()
        summary = found["summary"]
        assert {name: n for name, n in summary["outcomes"].items() if n} == {
            "equal": 1,
            "changed": 1,
            "newly_failed": 1,
        }
        assert (summary["not_replayed"], found["cut_off"], found["more"]) == (1, None, 0)
        by_outcome = {one["outcome"]: one for one in found["questions"]}
        assert by_outcome.keys() == {"changed", "newly_failed"}
        changed = by_outcome["changed"]
        assert changed["inputs"] == {"question": "question 1?"}
        assert (changed["original"]["outputs"], changed["replay"]["outputs"]) == (
            {"answer": "b"},
            {"answer": "B"},
        )
        found = (await client.get(compare, params={"limit": 1})).json()
        assert (len(found["questions"]), found["more"]) == (1, 1)
        await problem(await client.get("/v1/replays/none/compare"), 404, "unknown_replay")
        monkeypatch.setattr(replays, "ROOM", 10)
        assert (await client.get(compare)).json()["cut_off"] == "memory"
        monkeypatch.undo()
        monkeypatch.setattr(replays, "SECONDS", 0.0)
        assert (await client.get(compare)).json()["cut_off"] == "time"
        monkeypatch.undo()
        await one_at_a_time(client, compare, monkeypatch)


async def one_at_a_time(
    client: httpx.AsyncClient, compare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def endless(*_: Any, **__: Any) -> AsyncIterator[None]:
        begun.set()
        try:
            await asyncio.Event().wait()
            yield None
        finally:
            ended.set()

    monkeypatch.setattr(replays, "compared", endless)
    monkeypatch.setattr(replays, "SECONDS", 1e6)
    leaving = asyncio.create_task(client.get(compare))
    await begun.wait()
    refused = await client.get(compare)
    await problem(refused, 429, "comparison_runs")
    assert int(refused.headers["retry-after"]) > 0
    # Its client goes away, and with it the comparison.
    leaving.cancel()
    async with asyncio.timeout(PATIENCE_S):
        await ended.wait()
    monkeypatch.undo()
    assert (await client.get(compare)).is_success
