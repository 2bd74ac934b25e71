"""Questions by their ids, over HTTP, in front of a real Kafka, a real service and a real client."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
import pytest
from aiokafka.conn import AIOKafkaConnection

from penstock.gateway import questions, server
from penstock.gateway.server import Serving
from penstock.kafka import stretch, tailing
from penstock.local.prompt import ChatRequest
from tests.support.gateway import running_gateway
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.proxy import proxies
from tests.support.service import running_service

WAIT = {"Prefer": "wait=20"}
LINES = {"content-type": "application/jsonl"}


@dataclass
class Stage:
    """A service, and clients of a gateway each in front of it. What a question says is what the
    model does.
    """

    models: ModelServer
    gateways: list[Serving]
    clients: list[httpx.AsyncClient]


@asynccontextmanager
async def stage(
    bootstrap_servers: str, topics: Topics, *gateways: dict[str, Any], **flags: Any
) -> AsyncIterator[Stage]:
    """`gateways`: the settings of each; `flags`: of the service."""
    async with AsyncExitStack() as stack:
        models = await stack.enter_async_context(model_server())
        models.script["as-asked"] = _as_asked
        service = running_service(
            bootstrap_servers, topics, "openai/as-asked", models.api_base, **flags
        )
        await stack.enter_async_context(service)
        there = Stage(models, [], [])
        for settings in gateways or ({},):
            running = running_gateway(bootstrap_servers, topics, gateway=settings, **flags)
            gateway = await stack.enter_async_context(running)
            there.gateways.append(gateway)
            there.clients.append(
                await stack.enter_async_context(httpx.AsyncClient(base_url=gateway.address))
            )
        yield there
        models.let_end()


def _as_asked(_: int, request: ChatRequest) -> str:
    return request.question if request.question.startswith(("held", "ok?")) else "ok"


def frames(text: str) -> list[dict[str, str]]:
    """Of an event stream."""
    return [
        dict(line.split(": ", 1) for line in block.splitlines())
        for block in text.split("\n\n")
        if block
    ]


async def until_running(client: httpx.AsyncClient, location: str) -> None:
    async with client.stream("GET", f"{location}/events") as response:
        async for line in response.aiter_lines():
            if line.startswith("event: token"):
                return


async def until(client: httpx.AsyncClient, path: str, status: int) -> None:
    """Polled, as what is waited for is Kafka's."""
    while (await client.get(path)).status_code != status:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_question_by_its_id(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics) as there:
        (client,) = there.clients

        # It is waited for.
        answer = await client.post("/v1/questions", json={"question": "Why?"}, headers=WAIT)
        assert answer.status_code == 200, answer.text
        assert answer.headers["preference-applied"] == "wait=20"
        view = answer.json()
        assert view["status"] == view["completion"]["status"] == "completed"
        assert view["completion"]["answer"] == "You said Why?"
        assert view["asked_at"] <= view["first_token_at"]
        assert (await client.get(answer.headers["location"])).json() == view

        # It is not waited for, or not for so long.
        asked = {"id": "orders/7 ü", "question": "held", "metadata": {"a": 1}, "key": "k"}
        answer = await client.post(
            "/v1/questions", json=asked, headers={"Prefer": "respond-async, wait=0"}
        )
        assert answer.status_code == 202
        assert answer.json() == {"id": "orders/7 ü", "status": "queued"}
        assert answer.headers["preference-applied"] == "respond-async, wait=0"
        where = answer.headers["location"]
        assert where == "/v1/questions/orders%2F7%20%C3%BC"
        plain = "/v1/questions/orders/7 ü"
        await until_running(client, plain)
        found = (await client.get(plain)).json()
        assert (found["status"], found["completion"]) == ("running", None)
        assert found == (await client.get(where)).json()

        # Who asks the same again, by the same id, gets the same.
        again = await client.post("/v1/questions", json=asked)
        assert (again.status_code, again.json()["status"]) == (202, "running")
        other = await client.post("/v1/questions", json=asked | {"key": "another"})
        assert (other.status_code, other.json()["code"]) == (422, "name_taken")

        # It is cancelled, and then stays as it is.
        reading = asyncio.create_task(client.get(f"{where}/events"))
        answer = await client.post(f"{where}/cancel")
        assert answer.status_code == 202, answer.text
        events = frames((await reading).text)
        assert events[-1]["id"] == events[-1]["event"] == "completion"
        assert orjson.loads(events[-1]["data"])["metadata"] == {"a": 1}
        for response in (
            await client.post(f"{plain}/cancel"),
            await client.get(where),
            await client.post("/v1/questions", json=asked),
        ):
            assert (response.status_code, response.json()["status"]) == (200, "cancelled")

        missing = await client.get("/v1/questions/none")
        assert (missing.status_code, missing.json()["code"]) == (404, "unknown_question")
        assert "GATEWAY__WINDOW_MS" in missing.json()["detail"]
        assert (await client.post("/v1/questions/none/cancel")).status_code == 404
        assert (await client.get("/v1/questions/none/events")).status_code == 404

        # A gateway that starts now knows it all.
        async with (
            running_gateway(bootstrap_servers, topics) as late,
            httpx.AsyncClient(base_url=late.address) as anew,
        ):
            assert (await anew.get(where)).json()["completion"]["status"] == "cancelled"
            found = (await anew.get(f"/v1/questions/{view['id']}")).json()
            assert abs(found.pop("first_token_at") - view.pop("first_token_at")) < 1000
            assert found == view
            assert frames((await anew.get(f"{where}/events")).text) == events


async def test_its_events_go_on_where_a_client_has_come(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics, {}, {}) as there:
        client, other = there.clients
        asked = {"question": "ok?tokens=5", "id": "t/0/1"}
        answer = await client.post("/v1/questions", json=asked, headers=WAIT)
        where = f"{answer.headers['location']}/events"
        response = await client.get(where, headers={"Accept": "text/event-stream"})
        assert response.headers["content-type"].startswith("text/event-stream")
        assert response.text.startswith("retry: 1000\n")
        events = frames(response.text.removeprefix("retry: 1000\n"))
        kinds = [event["event"] for event in events]
        assert set(kinds[:-2]) == {"token"}
        assert kinds[-2:] == ["end", "completion"]
        sequences = [orjson.loads(event["data"])["sequence"] for event in events[:-1]]
        assert sequences == list(range(len(events) - 1))

        async def rest(**headers: str) -> list[dict[str, str]]:
            answer = await other.get(where, headers=headers)
            assert answer.status_code == 200, answer.text
            return frames(answer.text.removeprefix("retry: 1000\n"))

        assert await rest(**{"Last-Event-ID": events[0]["id"]}) == events[1:]
        assert await rest(**{"Last-Event-ID": events[-2]["id"]}) == events[-1:]
        where += "?starting_after=1"
        assert await rest() == events[2:]
        # So a browser comes back to the address that it was given once.
        assert await rest(**{"Last-Event-ID": events[-2]["id"]}) == events[-1:]
        over = await client.get(where, headers={"Last-Event-ID": "completion"})
        assert (over.status_code, over.content) == (204, b"")

        partition, offset, sequence = events[0]["id"].split("-")
        elsewhere = f"{1 - int(partition)}-{offset}-{sequence}"
        for headers in ({"Last-Event-ID": "7"}, {"Last-Event-ID": elsewhere}):
            assert (await client.get(where, headers=headers)).status_code == 400
        wrong = await client.get(where.replace("=1", "=x"))
        assert (wrong.status_code, wrong.json()["errors"][0]["parameter"]) == (
            400,
            "starting_after",
        )
        unread = await client.get(where, headers={"Accept": "application/json"})
        assert (unread.status_code, unread.json()["code"]) == (406, "not_acceptable")


async def test_the_same_key_is_the_same_question(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics, {}, {}) as there:
        first, second = there.clients
        asked, named = {"question": "Why?"}, {"Idempotency-Key": "order 7"}

        # Two replicas are told at once.
        answers = await asyncio.gather(
            *(
                client.post("/v1/questions", json=asked, headers=named | WAIT)
                for client in (first, second, first, second)
            )
        )
        assert [answer.status_code for answer in answers] == [200] * 4
        views = [answer.json() for answer in answers]
        assert all(view["completion"] == views[0]["completion"] for view in views)
        assert len(there.models.calls) == 1

        # Later, too; and in quotes it is the same key.
        again = await second.post(
            "/v1/questions", json=asked, headers={"Idempotency-Key": '"order 7"'}
        )
        assert (again.status_code, again.json()) == (200, views[0])
        other = await first.post("/v1/questions", json={"question": "How?"}, headers=named)
        assert (other.status_code, other.json()["code"]) == (422, "name_taken")
        both = await first.post("/v1/questions", json=asked | {"id": "a"}, headers=named)
        assert (both.status_code, both.json()["code"]) == (400, "two_names")
        for key in ("", "x" * 256, '"half'):
            wrong = await first.post("/v1/questions", json=asked, headers={"Idempotency-Key": key})
            assert wrong.status_code == 400, key
        assert len(there.models.calls) == 1


async def test_who_goes_away_cancels_only_where_it_is_set(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics, {"cancel_on_disconnect": True}, {}) as there:
        cancelling, client = there.clients

        async def left(by: httpx.AsyncClient, question_id: str, calls: int) -> None:
            asked = {"question": "held", "id": question_id}
            waiting = asyncio.create_task(by.post("/v1/questions", json=asked, headers=WAIT))
            await there.models.called(calls)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)

        await left(cancelling, "cancelled", 1)
        # Who reads its events waits for its end.
        await client.get("/v1/questions/cancelled/events")
        view = (await client.get("/v1/questions/cancelled")).json()
        assert view["status"] == "cancelled"

        await left(client, "goes on", 2)
        # So it has been seen that its client has left.
        await until_running(cancelling, "/v1/questions/goes on")
        there.models.let_end()
        await client.get("/v1/questions/goes on/events")
        assert (await client.get("/v1/questions/goes on")).json()["status"] == "completed"


async def test_a_batch(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(
        bootstrap_servers, topics, {"cancel_on_disconnect": True}, pool={"slots": 64}
    ) as there:
        (client,) = there.clients
        questions = [f'{{"question": "{n}", "id": "b{n}"}}' for n in range(300)]
        body = "\n".join(["not json", "", '"bare"', '{"id": "x"}', '"\\ud800"', *questions])
        answer = await client.post("/v1/questions:batch", content=body, headers=LINES)
        assert answer.headers["content-type"].startswith("application/jsonl")
        told = {line["line"]: line for line in map(orjson.loads, answer.text.splitlines())}
        assert sorted(told) == [1, 3, 4, 5, *range(6, 306)]
        assert told[1]["problem"]["code"] == "not_json"
        assert told[3]["completion"]["answer"] == "You said bare"
        assert told[4]["problem"]["code"] == "invalid_body"
        assert told[5]["problem"]["status"] == 400
        for n in range(300):
            line = told[n + 6]
            assert (line["id"], line["status"]) == (f"b{n}", "completed")
            assert line["completion"]["answer"] == f"You said {n}"

        empty = await client.post("/v1/questions:batch", content="\n\n", headers=LINES)
        assert (empty.status_code, empty.text) == (200, "")
        for content, headers, status in (
            (b'"a"\n' * 10_001, LINES, 413),
            (b" " * (16 * 1024 * 1024 + 1), LINES, 413),
            (b'"a"', {"content-type": "application/json"}, 415),
        ):
            answer = await client.post("/v1/questions:batch", content=content, headers=headers)
            assert answer.status_code == status

        # Who goes away has no more of them asked.
        before = len(there.models.calls)
        body = "\n".join(f'{{"question": "held", "id": "h{n}"}}' for n in range(1000))
        waiting = asyncio.create_task(
            client.post("/v1/questions:batch", content=body, headers=LINES)
        )
        await there.models.called(before + 64)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await client.get("/v1/questions/h0/events")
        await there.models.idle()
        assert (await client.get("/v1/questions/h0")).json()["status"] == "cancelled"
        assert (await client.get("/v1/questions/h999")).status_code == 404


async def test_too_much_to_do(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics, pool={"slots": 1}) as there:
        (client,), (gateway,) = there.clients, there.gateways
        asked = {"question": "ok?first_ms=200"}
        assert (await client.post("/v1/questions", json=asked, headers=WAIT)).status_code == 200
        await gateway.parts.overview.looked.wait()
        for n in range(3):
            await client.post("/v1/questions", json={"question": "held", "id": f"h{n}"})
        answer = await client.post("/v1/questions", json={"question": "Why?", "timeout_ms": 100})
        assert (answer.status_code, answer.json()["code"]) == (429, "backlog")
        assert int(answer.headers["retry-after"]) >= 1
        # One that has expired does not wait, and is told so.
        late = {"question": "Why?", "expires_at": "2020-01-01T00:00:00Z"}
        assert (await client.post("/v1/questions", json=late)).status_code in (202, 429)

        # A line of a batch waits until there is time for it.
        body = b'{"question": "Why?", "timeout_ms": 400}'
        batch = asyncio.create_task(client.post("/v1/questions:batch", content=body, headers=LINES))
        for n in range(3):
            await until_running(client, f"/v1/questions/h{n}")
            there.models.let_end()
        told = orjson.loads((await batch).content)
        assert told["line"] == 1
        assert told["status"] == "completed"


async def test_a_gateway_that_stops_tells_whoever_waits_how_it_stands(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    # They have waited for long.
    monkeypatch.setattr(server, "TELLING_SECONDS", 60.0)
    async with stage(bootstrap_servers, topics, {}, {}) as there:
        (client, other), (gateway, _) = there.clients, there.gateways
        body = b'{"question": "held", "id": "a"}\n'
        batch = asyncio.create_task(client.post("/v1/questions:batch", content=body, headers=LINES))
        waiting = asyncio.create_task(
            client.post("/v1/questions", json={"question": "held", "id": "b"}, headers=WAIT)
        )
        streamed = asyncio.create_task(
            client.post("/predict/stream", json={"question": "held", "id": "c"})
        )
        await there.models.called(3)
        gateway.stop()
        problem = orjson.loads((await batch).content)["problem"]
        assert (problem["code"], problem["id"]) == ("stopping", "a")
        answer = await waiting
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert (answer.json()["code"], answer.json()["id"]) == ("stopping", "b")
        said = (await streamed).text
        assert said.endswith('"code":"stopping","id":"c"}\n\ndata: [DONE]\n\n')
        there.models.let_end()
        await other.get("/v1/questions/a/events")
        assert (await other.get("/v1/questions/a")).json()["status"] == "completed"


async def test_kafka_is_away_for_a_while(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        proxies(bootstrap_servers.split(",")) as network,
        stage(bootstrap_servers, topics) as there,
    ):
        connect = AIOKafkaConnection.connect

        async def detoured(connection: Any) -> Any:
            connection._port = network.detours.get(connection._port, connection._port)
            return await connect(connection)

        monkeypatch.setattr(AIOKafkaConnection, "connect", detoured)
        async with (
            running_gateway(bootstrap_servers, topics) as gateway,
            httpx.AsyncClient(base_url=gateway.address) as client,
        ):
            for probe in ("/livez", "/readyz"):
                assert (await client.get(probe)).text == "ok"
            await client.post("/v1/questions", json={"question": "Why?"}, headers=WAIT)

            async def chat(tried: int) -> httpx.Response:
                body = {"model": "qa", "messages": [{"role": "user", "content": "How?"}]}
                headers = {"x-stainless-retry-count": f"{tried}"}
                return await client.post("/v1/chat/completions", json=body, headers=headers)

            # It is known which there are.
            await client.get("/v1/models")
            with network.hole(), monkeypatch.context() as impatient:
                impatient.setattr(questions, "SEND_SECONDS", 0.5)
                impatient.setattr(tailing, "QUIET_SECONDS", 0.2)
                impatient.setattr(stretch, "ANSWER_SECONDS", 0.5)
                answer, first = await asyncio.gather(
                    client.post("/v1/questions", json={"question": "Why?"}), chat(0)
                )
                assert (first.status_code, (await chat(1)).status_code) == (503, 503)
                unknown = answer.json()
                assert (answer.status_code, unknown["code"]) == (503, "kafka_away")
                assert "may have taken it" in unknown["detail"]
                await until(client, "/readyz", 503)
                answer = await client.post("/v1/questions", json={"question": "Why?"})
                assert (answer.status_code, answer.json()["code"]) == (503, "kafka_away")
                assert "retry-after" in answer.headers
                assert "id" not in answer.json()
                assert (await client.get("/livez")).status_code == 200
            # What was on its way arrives.
            found = f"/v1/questions/{unknown['id']}"
            await until(client, found, 200)
            assert (await client.get("/readyz")).status_code == 200
            await client.get(f"{found}/events")
            answer = await client.get(found)
            assert answer.json()["status"] == "completed"
            # However often it was sent.
            assert (await chat(2)).json()["choices"][0]["message"]["content"] == "You said How?"
            assert len(there.models.calls) == 3


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
async def test_curl(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics) as there:
        address = there.gateways[0].address

        async def curl(path: str, *arguments: str) -> str:
            process = await asyncio.create_subprocess_exec(
                *("curl", "-sS", "--fail-with-body", f"{address}{path}", *arguments),
                stdout=asyncio.subprocess.PIPE,
            )
            out, _ = await process.communicate()
            assert process.returncode == 0, out
            return out.decode()

        asked = ("--json", '{"question": "Why?", "id": "c/1"}')
        assert orjson.loads(await curl("/v1/questions", *asked))["id"] == "c/1"
        waited = orjson.loads(await curl("/v1/questions", *asked, "-H", "Prefer: wait=20"))
        assert waited["completion"]["answer"] == "You said Why?"
        assert orjson.loads(await curl("/v1/questions/c/1")) == waited
        events = await curl("/v1/questions/c/1/events", "-N", "-H", "Accept: text/event-stream")
        assert events.startswith("retry: 1000\nid: ")
        assert "event: completion\n" in events
        lines = await curl(
            "/v1/questions:batch",
            *("--data-binary", '"a"\n"b"\n', "-H", "Content-Type: application/x-ndjson"),
        )
        assert sorted(orjson.loads(line)["line"] for line in lines.splitlines()) == [1, 2]
