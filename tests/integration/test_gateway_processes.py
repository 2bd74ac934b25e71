"""`penstock gateway` and `penstock serve --gateway` as an operator meets them."""

import asyncio
import json
import signal
from typing import Any

import httpx

from tests.support.command import member_environment, penstock, started
from tests.support.kafka import Topics
from tests.support.model_server import model_server
from tests.support.service import running_service, settings_for

HANGS = "openai/hang-during"


async def _logged(process: asyncio.subprocess.Process, event: str) -> dict[str, Any]:
    """Until it logs this."""
    assert process.stderr is not None
    async for line in process.stderr:
        said: dict[str, Any] = json.loads(line)
        if said["event"] == event:
            return said
    raise AssertionError(f"it ended and never said {event!r}")


async def test_one_process_answers_over_http_until_it_is_asked_to_stop(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with model_server() as models:
        model = "openai/slow?first_ms=300&token_ms=0"
        settings = settings_for(bootstrap_servers, topics, model, models.api_base)
        env = member_environment(settings) | {"PENSTOCK_GATEWAY__PORT": "0"}
        async with started("serve", "--gateway", "--log-format", "json", env=env) as process:
            address = (await _logged(process, "gateway serving"))["address"]
            metrics = (await _logged(process, "serving"))["telemetry"]
            async with httpx.AsyncClient(base_url=address, timeout=30) as client:
                waiting = asyncio.create_task(client.post("/predict", json={"question": "Why?"}))
                await models.called(1)
                served = (await client.get(metrics)).text
                # Of the gateway and of the service, and of both one.
                assert 'penstock_gateway_questions{state="open"} 1.0' in served
                assert "penstock_in_flight 1.0" in served
                process.send_signal(signal.SIGTERM)
                assert (await waiting).json()["status"] == "completed"
            _, rest = await process.communicate()
            assert process.returncode == 0, rest.decode()


async def test_a_gateway_ends_its_streams_when_it_is_asked_to_stop(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, HANGS, models.api_base, drain=False),
    ):
        settings = settings_for(bootstrap_servers, topics, HANGS, models.api_base)
        env = member_environment(settings) | {"PENSTOCK_GATEWAY__PORT": "0"}
        # Of the test's patience there is less.
        env["PENSTOCK_DRAIN_MS"] = "120000"
        env["PENSTOCK_GATEWAY__TELEMETRY_PORT"] = "0"
        async with started("gateway", "--log-format", "json", env=env) as process:
            serving = await _logged(process, "serving")
            beside = serving["telemetry"].removesuffix("/metrics")
            async with httpx.AsyncClient(base_url=serving["address"], timeout=30) as client:
                for probe in ("/startupz", "/livez", "/readyz"):
                    assert (await client.get(beside + probe)).text == "ok"
                asked = await client.post("/v1/questions", json={"question": "Why?"})
                location = asked.headers["location"]
                async with client.stream("GET", f"{location}/events") as events:
                    lines = events.aiter_lines()
                    while await anext(lines) != "event: token":
                        pass
                    measured = await _samples(client, f"{beside}/metrics")
                    assert measured["penstock_gateway_streams"] == 1
                    assert measured["penstock_gateway_event_delay_seconds_count"] > 0
                    assert measured["penstock_build_info"] == 1
                    assert measured["process_cpu_seconds_total"] > 0
                    waiting = asyncio.create_task(client.post("/predict", json={"question": "?"}))
                    await models.called(2)
                    process.send_signal(signal.SIGTERM)
                    assert "event: completion" not in [line async for line in lines]
                    # The signal has been heard by now, and somebody still waits.
                    stopping = await client.get(f"{beside}/readyz")
                    assert (stopping.status_code, stopping.text) == (503, "stopping")
                # A second signal lets nobody wait any longer.
                process.send_signal(signal.SIGTERM)
                assert (await waiting).json()["code"] == "stopping"
            _, rest = await process.communicate()
            assert process.returncode == 0, rest.decode()
            requests = [json.loads(line) for line in rest.splitlines() if b'"request"' in line]
            assert [(said["method"], said["route"], said["status"]) for said in requests] == [
                ("POST", "/v1/questions", 202),
                ("GET", "/v1/questions/{question_id}/events", 200),
                ("POST", "/predict", 503),
            ]
            assert requests[0]["question_id"] == requests[1]["question_id"] == location[14:]
            assert all(said["logger"] == "penstock.gateway" for said in requests)


async def _samples(client: httpx.AsyncClient, url: str) -> dict[str, float]:
    lines = (await client.get(url)).text.splitlines()
    pairs = [line.rsplit(" ", 1) for line in lines if not line.startswith("#")]
    return {name.partition("{")[0]: float(value) for name, value in pairs}


async def test_it_says_what_is_missing(bootstrap_servers: str, topics: Topics) -> None:
    settings = settings_for(bootstrap_servers, topics, "openai/ok", "http://localhost:1")
    ended = await penstock("gateway", env=member_environment(settings))
    assert ended.code == 2
    assert ended.stderr == (
        f"penstock: topic '{settings.topics.questions}' is missing; start `penstock serve`, "
        "which creates it\n"
    )
