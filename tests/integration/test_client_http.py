"""A stream over HTTP on a bad day: its connection is cut, its gateway is gone and comes back."""

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from urllib.parse import urlsplit

from penstock.client import Event, HttpClient
from penstock.events.completion import Completion
from penstock.events.token import Token
from tests.support.gateway import answered, running_gateway
from tests.support.kafka import Topics
from tests.support.model_server import model_server
from tests.support.proxy import Network, proxies
from tests.support.readme import blocks
from tests.support.service import running_service


@asynccontextmanager
async def through(address: str) -> AsyncIterator[tuple[HttpClient, Network]]:
    """A client whose way to this gateway is a bad one."""
    at = urlsplit(address)
    assert at.port is not None
    async with (
        proxies([at.netloc]) as network,
        HttpClient(f"http://127.0.0.1:{network.detours[at.port]}") as client,
    ):
        yield client, network


async def test_a_stream_whose_connection_is_cut_again_and_again_loses_and_doubles_nothing(
    bootstrap_servers: str, topics: Topics
) -> None:
    model = "openai/ok?tokens=60&token_ms=20"
    async with (
        answered(bootstrap_servers, topics, model) as gateway,
        HttpClient(gateway.address) as calm,
        through(gateway.address) as (client, network),
    ):
        heard: list[Event] = []
        async for event in client.stream("Why?", question_id="q"):
            heard.append(event)
            if len(heard) % 10 == 0:
                network.cut()
        whole = [event async for event in calm.resume("q")]
        rest = [event async for event in calm.resume("q", after=9)]

    assert network.cuts >= 3
    assert heard == whole
    assert isinstance(whole[-1], Completion)
    assert len(whole) > 40
    assert rest == whole[10:]


async def test_an_answer_whose_connection_is_cut_is_asked_for_once(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/echo", models.api_base),
        running_gateway(bootstrap_servers, topics) as gateway,
        through(gateway.address) as (client, network),
    ):
        for number in range(3):
            network.cut()
            completion = await client.ask(f"number {number}")
            assert (completion.status, completion.answer) == ("completed", f"number {number}")
        assert network.cuts == 3
        assert len(models.calls) == 3


async def test_a_gateway_that_restarts_amid_a_stream_is_waited_for(
    bootstrap_servers: str, topics: Topics
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/held?tokens=20", models.api_base),
        AsyncExitStack() as first,
    ):
        at_port = {"port": port}
        await first.enter_async_context(running_gateway(bootstrap_servers, topics, gateway=at_port))
        async with (
            HttpClient(f"http://127.0.0.1:{port}") as client,
            aclosing(client.stream("Why?")) as events,
        ):
            heard: list[Event] = [await anext(events)]
            await first.aclose()
            async with running_gateway(bootstrap_servers, topics, gateway=at_port):
                models.let_end()
                heard += [event async for event in events]

    *said, completion = heard
    assert isinstance(completion, Completion)
    assert completion.status == "completed"
    sequences = [event.sequence for event in said if not isinstance(event, Completion)]
    assert sequences == list(range(len(sequences)))
    texts = [event.text for event in said if isinstance(event, Token) and event.field == "answer"]
    assert "".join(texts) == completion.answer


async def test_the_readme_does_what_it_says(bootstrap_servers: str, topics: Topics) -> None:
    both = [block.text for block in blocks("\n### A client in Python\n", "\n### ")]
    async with answered(bootstrap_servers, topics, "openai/echo") as gateway:
        address = urlsplit(gateway.address).netloc
        by_events, by_text = await asyncio.gather(
            *(run(text.replace("localhost:8080", address)) for text in both)
        )
    first, second, *batch = by_events.splitlines()
    assert first == "Why is the sky blue?"
    assert second.startswith("completed ")
    assert sorted(batch) == sorted(f"{n} What is {n} times 7?" for n in range(100))
    assert by_text == "Why is the sky blue?"


async def run(code: str) -> str:
    """What it prints."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), stdout=asyncio.subprocess.PIPE
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    return stdout.decode()
