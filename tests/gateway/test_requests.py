"""What is told of a request when it has ended: in the log, and in the metrics."""

import pytest
from prometheus_client import CollectorRegistry
from websockets.asyncio.client import connect

from penstock.gateway import requests
from tests.support.doors import doors
from tests.support.hearing import hear


def _counted(registry: CollectorRegistry) -> dict[tuple[str, str], float]:
    return {
        (sample.labels["route"], sample.labels["status"]): sample.value
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "penstock_gateway_requests_total"
    }


async def test_each_is_one_line_and_is_counted_by_its_route(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = hear(monkeypatch, requests)
    async with doors() as there:
        await there.client.get("/read?question=secret")
        await there.client.get("/asked/7?x=secret")
        await there.client.get("/asked/7+8")
        await there.client.post("/read")
        await there.client.get("/no/such/secret")
        await there.client.get("/fail")
        await there.client.get("/readyz")
        await there.client.post("/ask", content=b"secret", headers={"content-type": "text/plain"})
        async with connect(there.socket) as socket:
            await socket.send("secret")
            await socket.recv()
        await heard.until("request", 9)
    assert "secret" not in str(heard.lines)
    told = [
        (line["level"], line["method"], line["route"], line["status"])
        for line in heard.said("request")
    ]
    # Without its parts the probe fails here.
    assert told == [
        ("info", "GET", "/read", 200),
        ("info", "GET", "/asked/{name}", 200),
        ("info", "GET", "/asked/{name}", 200),
        ("info", "POST", "/read", 405),
        ("info", "GET", "none", 404),
        ("warning", "GET", "/fail", 500),
        ("debug", "GET", "/readyz", 500),
        ("info", "POST", "none", 415),
        ("info", "WEBSOCKET", "/talk", 101),
    ]
    assert [line["question_id"] for line in heard.lines if "question_id" in line] == ["7"]
    assert [line["questions"] for line in heard.lines if "questions" in line] == [2]
    assert _counted(there.registry) == {
        ("/read", "200"): 1,
        ("/asked/{name}", "200"): 2,
        ("/read", "405"): 1,
        ("none", "404"): 1,
        ("/fail", "500"): 1,
        ("/readyz", "500"): 1,
        ("none", "415"): 1,
        ("/talk", "101"): 1,
    }
    head = "penstock_gateway_request_seconds_count"
    assert there.registry.get_sample_value(head, {"route": "/asked/{name}"}) == 2
    # Its answer is begun by whoever is outside.
    assert there.registry.get_sample_value(head, {"route": "/fail"}) is None
