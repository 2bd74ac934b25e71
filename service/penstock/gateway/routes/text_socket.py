"""A WebSocket of plain text: a message is a question, its answer comes back in pieces."""

import asyncio
from contextlib import aclosing, suppress

from fastapi import APIRouter
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocket

from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.gateway.access import subprotocol
from penstock.gateway.caller import Caller
from penstock.gateway.connection import POLICY_VIOLATION, Connection
from penstock.gateway.index import Entry
from penstock.gateway.leaving import cancelled_on_disconnect
from penstock.gateway.parts import Gateway, Parts, Who
from penstock.gateway.problem import ProblemError
from penstock.gateway.simple import heard, in_time

SUBPROTOCOL = "penstock.v1.text"
"""For browsers, which hear nothing where they have offered subprotocols and none is taken."""

WAITING = 16
"""Questions of one connection that wait for those before them."""

DONE = "[DONE]"

router = APIRouter()


@router.websocket("/ws")
async def text(socket: WebSocket, gateway: Gateway, who: Who, program: str | None = None) -> None:
    """One question after the other, in the order in which they came."""
    await socket.accept(subprotocol(socket, SUBPROTOCOL))
    connection = Connection(socket, gateway.stopping)
    talk = _Talk(connection, gateway, who, program)
    with suppress(ClientDisconnect):
        async with cancelled_on_disconnect(gateway, talk.open):
            await connection.serve(talk.listen(), talk.answer())


class _Talk:
    def __init__(
        self, connection: Connection, gateway: Parts, who: Caller, program: str | None
    ) -> None:
        self.open: list[Entry] = []
        """What is being answered."""
        self._connection = connection
        self._gateway = gateway
        self._who = who
        self._program = program
        self._waiting: asyncio.Queue[str | None] = asyncio.Queue(WAITING)

    async def listen(self) -> None:
        async for message in self._connection.messages():
            try:
                self._waiting.put_nowait(message)
            except asyncio.QueueFull:
                detail = f"more than {WAITING} questions wait for their turn"
                await self._connection.close(POLICY_VIOLATION, detail)
                return

    async def answer(self) -> None:
        while True:
            message = await self._waiting.get()
            try:
                await self._say(message)
            except ProblemError as error:
                await self._connection.send(f"[ERROR] {error.detail}")
            await self._connection.send(DONE)

    async def _say(self, message: str | None) -> None:
        if not message:
            raise ProblemError(422, "no_question", "a question is a text message, and not empty")
        question = in_time(Question(question=message, program=self._program), self._gateway)
        async with self._gateway.questions.asked(question, self._who) as asked:
            self.open[:] = [asked.entry]
            async with aclosing(heard(asked, question, self._gateway)) as said:
                async for one in said:
                    if isinstance(one, Completion):
                        return
                    await self._tell(*one)

    async def _tell(self, kind: str, text: str) -> None:
        if kind == "token":
            await self._connection.send(text)
        elif kind == "restart":
            await self._connection.send("[RESTART]")
