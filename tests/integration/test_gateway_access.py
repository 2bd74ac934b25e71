"""Who may ask a real service through the gateway, and how often."""

import asyncio
import json
from contextlib import suppress
from pathlib import Path

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Subprotocol

from penstock.gateway.access import BEARER
from penstock.gateway.tokens import PREFIX
from tests.support.command import member_environment, penstock, started
from tests.support.gateway import answered
from tests.support.kafka import Topics
from tests.support.service import settings_for

WHY = {"question": "Why?"}


async def _token(file: Path, name: str, *options: str) -> dict[str, str]:
    """As an operator makes it."""
    done = await penstock("token", name, *options)
    assert done.code == 0
    with file.open("a") as tokens:
        tokens.write(done.stdout)
    return {"Authorization": f"Bearer {done.stderr.strip()}"}


async def test_what_a_token_may_ask_and_how_often(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    file = tmp_path / "tokens.toml"
    ana = await _token(file, "ana", "--requests-per-minute", "3")
    desk = await _token(file, "desk", "--program", "desk")
    async with (
        answered(bootstrap_servers, topics, gateway={"tokens": file}) as gateway,
        httpx.AsyncClient(base_url=gateway.address) as client,
    ):
        assert (await client.post("/predict", json=WHY)).status_code == 401
        assert (await client.get("/v1/questions/x/events")).status_code == 401

        response = await client.post("/predict", json=WHY, headers=desk)
        assert response.status_code == 403
        assert response.json()["code"] == "program_not_allowed"

        response = await client.post("/predict", json=WHY, headers=ana)
        assert response.json()["status"] == "completed"
        said = [await client.post("/v1/questions", json=WHY, headers=ana) for _ in range(3)]
        assert [response.status_code for response in said] == [202, 202, 429]
        assert 0 < int(said[2].headers["retry-after"]) <= 20

        # It may still read, and a token that may not ask the program may not read it either.
        events = said[0].headers["location"] + "/events"
        assert "event: completion\n" in (await client.get(events, headers=ana)).text
        assert (await client.get(events, headers=desk)).status_code == 404


async def test_a_gateway_without_tokens_stays_at_home_and_tells_its_operator(
    bootstrap_servers: str, topics: Topics
) -> None:
    refused = await penstock("gateway", "--host", "0.0.0.0", "--port", "0")
    assert refused.code == 2
    assert "GATEWAY__TOKENS" in refused.stderr

    async with answered(bootstrap_servers, topics):
        settings = settings_for(bootstrap_servers, topics, "openai/ok", "http://localhost:1")
        env = member_environment(settings) | {"PENSTOCK_LOG_LEVEL": "debug"}
        async with started("gateway", "--port", "0", env=env) as process:
            assert process.stderr is not None
            told, address = [], ""
            async for line in process.stderr:
                said = json.loads(line)
                if said["event"] == "operator token for the console":
                    told.append(said["token"])
                if said["event"] == "serving":
                    address = said["address"]
                    break
            assert len(told) == 1
            assert told[0].startswith(PREFIX)
            # While it is read, so that it never waits for us to read it.
            rest = asyncio.create_task(process.stderr.read())
            async with httpx.AsyncClient(base_url=address) as client:
                response = await client.post("/predict", json=WHY)
                assert response.json()["status"] == "completed"
                headers = {"Host": "evil.example"}
                assert (await client.post("/predict", json=WHY, headers=headers)).status_code == 421
            shown = Subprotocol(BEARER + "c2hvd24")
            for more in ({"Authorization": "Bearer shown"}, {}):
                with suppress(InvalidStatus):
                    address = address.replace("http:", "ws:")
                    async with connect(address, subprotocols=[shown], additional_headers=more):
                        pass
            process.terminate()
            logged = await rest
            assert b"shown" not in logged
            assert b"c2hvd24" not in logged
            assert b'"level": "debug"' in logged
