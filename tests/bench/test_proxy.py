"""A proxy: its answers can be late (what the slow broker is), and it leaves nothing open."""

import asyncio
import socket
from contextlib import suppress

from tests.support.proxy import proxies

LATE = 0.05


async def _echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionResetError):
        while said := await reader.read(1_000):
            writer.write(said)
    writer.close()


async def test_answers_come_late_and_in_order() -> None:
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxies([f"127.0.0.1:{port}"]) as network:
        network.late = LATE
        reader, writer = await asyncio.open_connection("127.0.0.1", network.detours[port])
        begun = asyncio.get_running_loop().time()
        for number in range(100):
            writer.write(b"%02d" % number)
            # Each of them a write of its own.
            await asyncio.sleep(0)
        answers = await reader.readexactly(200)
        assert asyncio.get_running_loop().time() - begun >= LATE
        assert answers == b"".join(b"%02d" % number for number in range(100))
        writer.close()
        await writer.wait_closed()


async def test_what_is_under_way_is_lost_with_its_connection() -> None:
    troubles: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, trouble: troubles.append(trouble))
    server = await asyncio.start_server(_echo, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxies([f"127.0.0.1:{port}"]) as network:
        network.late = LATE
        reader, writer = await asyncio.open_connection("127.0.0.1", network.detours[port])
        writer.write(b"a question")
        async with asyncio.timeout(5):
            while not any(link._under_way for link in network.links):  # noqa: ASYNC110 # its state
                await asyncio.sleep(0)
        [link] = network.links
        link.drop()
        assert await reader.read() == b""
        # By now it would have come.
        await asyncio.sleep(2 * LATE)
        writer.close()
    assert not troubles


async def test_who_goes_at_once_leaves_no_connection_to_the_broker() -> None:
    gone = asyncio.Semaphore(0)

    async def broker(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        gone.release()

    server = await asyncio.start_server(broker, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, proxies([f"127.0.0.1:{port}"]) as network:
        socket.create_connection(("127.0.0.1", network.detours[port])).close()
        async with asyncio.timeout(5):
            await gone.acquire()
        assert not network.links
