"""A WebSocket's client, and the gateway, come to their ends in any order."""

import asyncio
from typing import Any

import pytest
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocket

from penstock.gateway.connection import Connection


class Peer:
    """What the server tells of the client, and what it is told."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.told: list[dict[str, Any]] = []
        self.there = True

    async def send(self, message: Any) -> None:
        if not self.there:
            raise OSError
        self.told.append(message)

    def leaves(self) -> None:
        self.there = False
        self.says.put_nowait({"type": "websocket.disconnect", "code": 1006})


async def connected() -> tuple[Peer, "asyncio.Future[None]", Connection]:
    peer = Peer()
    peer.says.put_nowait({"type": "websocket.connect"})
    socket = WebSocket({"type": "websocket"}, peer.says.get, peer.send)
    await socket.accept()
    stopping: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    return peer, stopping, Connection(socket, stopping)


async def listening(connection: Connection, heard: list[str | None]) -> None:
    heard.extend([message async for message in connection.messages()])


async def test_messages_are_heard_until_the_client_leaves() -> None:
    peer, _, connection = await connected()
    heard: list[str | None] = []
    for said in {"text": "a"}, {"bytes": b"b"}, {"text": ""}:
        peer.says.put_nowait({"type": "websocket.receive", **said})
    peer.leaves()
    with pytest.raises(ClientDisconnect):
        await connection.serve(listening(connection, heard))
    assert heard == ["a", None, ""]
    with pytest.raises(ClientDisconnect):
        await connection.send("?")


async def test_a_gateway_that_stops_says_so() -> None:
    peer, stopping, connection = await connected()
    stopping.set_result(None)
    await connection.serve(listening(connection, []))
    assert peer.told[-1]["type"] == "websocket.close"
    assert peer.told[-1]["code"] == 1012
    # Whatever is still under way learns it.
    with pytest.raises(ClientDisconnect):
        await connection.send("?")


async def test_who_has_left_has_left_though_the_gateway_stops_meanwhile() -> None:
    peer, stopping, connection = await connected()

    async def ends_slowly() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            stopping.set_result(None)

    peer.leaves()
    with pytest.raises(ClientDisconnect):
        await connection.serve(listening(connection, []), ends_slowly())


async def test_what_fails_is_not_taken_for_a_client_that_left() -> None:
    _, _, connection = await connected()

    async def fails() -> None:
        raise KeyError("?")

    with pytest.raises(KeyError):
        await connection.serve(listening(connection, []), fails())
