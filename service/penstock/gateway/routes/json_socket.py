"""A WebSocket of JSON frames: many questions at once, cancelled and resumed by their ids."""

import asyncio
from contextlib import aclosing, suppress
from uuid import uuid4

from fastapi import APIRouter
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocket

from penstock.gateway import frames
from penstock.gateway.access import subprotocol
from penstock.gateway.caller import Caller
from penstock.gateway.connection import Connection
from penstock.gateway.following import Seen, seen
from penstock.gateway.frames import SUBPROTOCOL, Ask, Cancel, Client, Resume
from penstock.gateway.index import Entry
from penstock.gateway.leaving import cancelled_on_disconnect
from penstock.gateway.parts import Gateway, Parts, Who
from penstock.gateway.problem import ProblemError
from penstock.gateway.questions import Asked
from penstock.gateway.stream import Said

OPEN = 64
"""Questions of one connection at once."""

router = APIRouter()


@router.websocket("/v1/ws")
async def json(socket: WebSocket, gateway: Gateway, who: Who) -> None:
    """Frames as in `penstock.gateway.frames`."""
    if subprotocol(socket, SUBPROTOCOL) is None:
        raise ProblemError(
            400, "subprotocol", f"this speaks the subprotocol {SUBPROTOCOL}; offer it"
        )
    await socket.accept(SUBPROTOCOL)
    connection = Connection(socket, gateway.stopping)
    talk = _Talk(connection, gateway, who)
    with suppress(ClientDisconnect):
        async with cancelled_on_disconnect(gateway, talk.followed.values()):
            await connection.serve(talk.listen())


class _Talk:
    def __init__(self, connection: Connection, gateway: Parts, who: Caller) -> None:
        self.followed: dict[str, Entry] = {}
        """Of which the client waits for the end."""
        self._connection = connection
        self._gateway = gateway
        self._who = who
        self._open: dict[str, asyncio.Task[None]] = {}
        """What tells it of a question, by its id."""

    async def listen(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            async for message in self._connection.messages():
                try:
                    frame = frames.read(message)
                except ProblemError as error:
                    await self._refuse(error, frames.ref(message))
                else:
                    await self._take(frame, tasks)
            for task in self._open.values():
                task.cancel()

    async def _take(self, frame: Client, tasks: asyncio.TaskGroup) -> None:
        try:
            if isinstance(frame, Cancel):
                entry = self._gateway.questions.find(frame.id, self._who)
                await self._gateway.questions.cancel(entry.question_id)
                return
            question_id = frame.id or str(uuid4())
            self._has_room(question_id)
        except ProblemError as error:
            await self._refuse(error, frame.ref, frame.id)
            return
        self._open[question_id] = tasks.create_task(self._tell(frame, question_id))

    def _has_room(self, question_id: str) -> None:
        if question_id in self._open:
            raise ProblemError(
                409, "already_open", "this connection is being told of that question already"
            )
        if len(self._open) >= OPEN:
            raise ProblemError(
                429, "too_many_open", f"a connection is told of {OPEN} questions at once; wait"
            )

    async def _tell(self, frame: Ask | Resume, question_id: str) -> None:
        try:
            if isinstance(frame, Ask):
                await self._ask(frame, question_id)
            else:
                entry = self._gateway.questions.find(question_id, self._who)
                await self._follow(Asked(entry, None), _seen(frame))
        except ProblemError as error:
            await self._refuse(error, frame.ref, question_id)
        except ClientDisconnect:
            # As whoever reads its messages is told.
            return
        self.followed.pop(question_id, None)
        del self._open[question_id]

    async def _ask(self, frame: Ask, question_id: str) -> None:
        question = frame.asked.model_copy(update={"id": question_id})
        named = frame.id is not None
        asking = self._gateway.questions.asked(question, self._who, frame.key, named=named)
        async with asking as asked:
            await self._connection.send(frames.asked(frame.ref, asked.entry))
            await self._follow(asked)

    async def _follow(self, asked: Asked, after: Seen | None = None) -> None:
        question_id = asked.entry.question_id
        self.followed[question_id] = asked.entry
        async with aclosing(self._gateway.questions.events(asked, after)) as events:
            async for event in events:
                if isinstance(event, Said):
                    await self._connection.send(frames.event(question_id, event))
                else:
                    await self._connection.send(frames.completion(question_id, event))

    async def _refuse(
        self, error: ProblemError, ref: str | None, question_id: str | None = None
    ) -> None:
        with suppress(ClientDisconnect):
            await self._connection.send(frames.problem(error, ref, question_id))


def _seen(frame: Resume) -> Seen | None:
    if frame.starting_after is not None:
        return Seen(frame.starting_after)
    if frame.last_event_id is None:
        return None
    found = seen(frame.last_event_id)
    if found is None:
        raise ProblemError(400, "no_such_event", "last_event_id: is none that was given here")
    return found
