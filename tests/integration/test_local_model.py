import asyncio
import json
import socket
from importlib.util import find_spec
from pathlib import Path

import aiohttp
import pytest

from penstock.errors import ConfigurationError
from penstock.local import model as local_model
from penstock.local.model import Served, model, weights

installed = pytest.mark.skipif(
    weights() is None or find_spec("xllamacpp") is None,
    reason="the small model is not installed (dependency group `local`)",
)


async def chunks(session: aiohttp.ClientSession, served: Served, question: str) -> list[str]:
    body = {
        "model": served.name,
        "messages": [{"role": "user", "content": question}],
        "max_tokens": 12,
        "stream": True,
    }
    said = []
    async with session.post(f"{served.api_base}/chat/completions", json=body) as response:
        assert response.status == 200
        async for line in response.content:
            if line.startswith(b"data: {"):
                (choice,) = json.loads(line.removeprefix(b"data: "))["choices"]
                said.append(choice["delta"].get("content") or "")
    return [text for text in said if text]


@installed
async def test_more_questions_than_slots_stream_their_tokens() -> None:
    async with model(slots=2) as served, aiohttp.ClientSession() as session:
        answers = await asyncio.gather(
            *(chunks(session, served, f"Count from {number}") for number in range(3))
        )

    assert all(len(answer) > 1 for answer in answers)


@installed
async def test_the_server_names_its_model_and_ends_with_the_block() -> None:
    async with model(slots=1) as served, aiohttp.ClientSession() as session:
        async with session.get(f"{served.api_base}/models") as response:
            listed = await response.json()
        assert [entry["id"] for entry in listed["data"]] == [served.name]

    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"{served.api_base}/models")


@installed
async def test_it_takes_over_the_port_of_one_that_has_just_ended() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    address = listening.getsockname()
    with socket.create_connection(address) as client:
        served, _ = listening.accept()
        # Who closes first has to wait for what may still be on its way.
        served.close()
        assert client.recv(1) == b""
    listening.close()
    with socket.socket() as strict, pytest.raises(OSError, match="in use"):
        strict.bind(address)

    async with model(slots=1, port=address[1]) as served_again:
        assert served_again.api_base == f"http://127.0.0.1:{address[1]}/v1"


@installed
async def test_a_port_where_somebody_listens_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port} is taken"):
            async with model(port=port):
                pass


@installed
async def test_a_file_that_is_no_model_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"not a model")
    monkeypatch.setattr(local_model, "weights", lambda: broken)

    with pytest.raises(ConfigurationError, match="does not start"):
        async with model():
            pass


async def test_without_the_weights_the_error_says_how_to_get_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(local_model, "weights", lambda: None)

    with pytest.raises(ConfigurationError, match="make demo"):
        async with model():
            pass
