"""A model provider that does what the name of the model says, in this process or in its own.

`python -m tests.support.model_server --port 0` prints its api_base as the first line. Either way
GET /calls tells what was asked (`?last=0` for the counts alone) and DELETE /calls forgets it.
"""

import argparse
import asyncio
import signal
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import orjson

from penstock.local.prompt import ChatRequest
from tests.support import http1
from tests.support.behaviours import BEHAVIOURS, Params, reply
from tests.support.calls import Call, Calls
from tests.support.openai_wire import Ending, Refusal, Reply
from tests.support.pulse import Pulse

# Told how many requests for this model there were, this one included; says what it does with it.
Script = Callable[[int, ChatRequest], str]


class ModelServer:
    """Asked for a model that `script` knows, it does as the script says; else as the name says."""

    def __init__(self, defaults: Params, pulse: Pulse) -> None:
        self.api_base = ""
        self.calls = Calls()
        self.script: dict[str, Script] = {}
        self.bodies: deque[bytes] = deque(maxlen=100)
        """Of the latest requests, as they came."""
        self.headers: deque[Mapping[str, str]] = deque(maxlen=100)
        """As above; by their names in lower case."""
        self.revoked: set[str] = set()
        """Keys that are refused."""
        self.connections = 0
        """How many there ever were."""
        self._defaults = defaults
        self._pulse = pulse
        self._connections: set[http1.Connection] = set()
        self._all_lost = asyncio.Event()
        self._telling: dict[http1.Connection, _Telling] = {}
        self._lines: defaultdict[str, _Line] = defaultdict(_Line)

    @property
    def address(self) -> str:
        """As that of a model server in a process of its own."""
        return self.api_base

    async def called(self, n: int = 1, model: str | None = None) -> None:
        """Until `n` calls have come, of this model if one is named."""
        calls = self.calls
        await calls.until(lambda: (calls.per_model[model] if model else len(calls)) >= n)

    async def disconnected(self, n: int = 1) -> None:
        """Until `n` clients have gone before the end of their answer."""
        await self.calls.until(lambda: self.calls.disconnects >= n)

    async def idle(self) -> None:
        """Until no call is being answered."""
        await self.calls.until(lambda: self.calls.in_flight == 0)

    def let_end(self) -> None:
        """What is `held` now says the rest at once."""
        for telling in list(self._telling.values()):
            telling.let_end()

    def met(self, connection: http1.Connection) -> None:
        self.connections += 1
        self._connections.add(connection)
        self._all_lost.clear()

    def requested(self, connection: http1.Connection, request: http1.Request) -> None:
        target = urlsplit(request.target)
        match request.method, target.path:
            case "POST", "/v1/chat/completions":
                self._complete(connection, request)
                return
            case "GET", "/v1/models":
                listed = [{"id": name, "object": "model"} for name in BEHAVIOURS]
                answer = http1.response(200, orjson.dumps({"object": "list", "data": listed}))
            case "GET", "/calls":
                last = parse_qs(target.query).get("last")
                told = self.calls.as_json(int(last[0]) if last else None)
                answer = http1.response(200, orjson.dumps(told))
            case "DELETE", "/calls":
                self.calls.clear()
                answer = http1.response(204)
            case _:
                answer = http1.response(404, orjson.dumps({"error": {"message": "no such page"}}))
        connection.transport.write(answer)
        connection.answered()

    def lost(self, connection: http1.Connection) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._all_lost.set()
        telling = self._telling.pop(connection, None)
        if telling:
            telling.reply = None
            self._leaves(telling)
            self.calls.end(telling.call, disconnected=True)

    async def close(self) -> None:
        self._pulse.stop()
        for connection in self._connections:
            connection.transport.abort()
        # A transport is lost in a later turn of the loop, and warns when it never is.
        if self._connections:
            await self._all_lost.wait()

    def _complete(self, connection: http1.Connection, asked: http1.Request) -> None:
        try:
            request = ChatRequest.read(asked.body)
        except ValueError as wrong:
            refusal = Refusal(400, "invalid_request_error", None, str(wrong))
            connection.transport.write(http1.response(400, refusal.body()))
            connection.answered()
            return
        self.bodies.append(asked.body)
        self.headers.append(asked.headers)
        model, calls = request.model, self.calls
        calls.per_model[model] += 1
        script = self.script.get(model) or self.script.get(model.partition("?")[0])
        behaviour = script(calls.per_model[model], request) if script else model
        if asked.headers.get("authorization", "").removeprefix("Bearer ") in self.revoked:
            behaviour = "401"
        behaviour = behaviour.replace("*headers*", quote(str(dict(asked.headers))))
        call = Call(model, behaviour, request.stream, request.last("user"), time.monotonic())
        answer = reply(request, behaviour, self._defaults)
        telling = _Telling(connection, answer, call, self._told)
        self._telling[connection] = telling
        calls.begin(call)
        if answer.serves is None:
            self._begin(telling)
        else:
            self._lines[model].join(telling)
            self._go_on(model, answer.serves)

    def _begin(self, telling: "_Telling") -> None:
        if (reply := telling.reply) is not None:
            self._pulse.soon(reply.first_s, telling.beat)

    def _go_on(self, model: str, serves: int) -> None:
        for telling in self._lines[model].next(serves):
            self._begin(telling)

    def _leaves(self, telling: "_Telling") -> None:
        if telling.serves is not None:
            self._lines[telling.call.model].leave(telling)
            self._go_on(telling.call.model, telling.serves)

    def _told(self, telling: "_Telling", ending: Ending) -> None:
        del self._telling[telling.connection]
        self._leaves(telling)
        self.calls.end(telling.call)
        transport = telling.connection.transport
        if ending is Ending.CLOSE:
            transport.close()
        elif ending is Ending.RESET:
            http1.reset(transport)
        else:
            telling.connection.answered()


class _Line:
    """Who is served by a model, and who waits for that."""

    def __init__(self) -> None:
        self._served: set[_Telling] = set()
        self._waiting: deque[_Telling] = deque()

    def join(self, telling: "_Telling") -> None:
        self._waiting.append(telling)

    def leave(self, telling: "_Telling") -> None:
        if telling in self._served:
            self._served.remove(telling)
        else:
            self._waiting.remove(telling)

    def next(self, serves: int) -> "Iterator[_Telling]":
        while self._waiting and len(self._served) < serves:
            telling = self._waiting.popleft()
            self._served.add(telling)
            yield telling


class _Telling:
    """One answer on its way. Late, it catches up in one write instead of falling behind."""

    __slots__ = ("_begun", "_sent", "_told", "call", "connection", "reply", "serves")

    def __init__(
        self,
        connection: http1.Connection,
        reply: Reply,
        call: Call,
        told: Callable[["_Telling", Ending], None],
    ) -> None:
        self.connection = connection
        self.reply: Reply | None = reply
        self.call = call
        self.serves = reply.serves
        self._told = told
        self._begun: float | None = None
        self._sent = 0

    def beat(self, now: float) -> float | None:
        reply, sent = self.reply, self._sent
        if reply is None:
            return None
        held = reply.ending is Ending.HELD
        due = most = len(reply.parts) - held
        if self._begun is None:
            self._begun = now
            if reply.token_s:
                due = min(due, 1)
            out = reply.opening + b"".join(reply.parts[:due])
        else:
            due = min(due, max(sent + 1, 1 + int((now - self._begun) / reply.token_s)))
            out = reply.parts[sent] if due == sent + 1 else b"".join(reply.parts[sent:due])
        self._sent = self.call.chunks = due
        self.call.wrote = now
        if due < len(reply.parts):
            self.connection.transport.write(out)
            return None if due == most and held else self._begun + due * reply.token_s
        self.connection.transport.write(out + reply.closing)
        if reply.ending is not Ending.HANG:
            self._told(self, reply.ending)
        return None

    def let_end(self) -> None:
        reply = self.reply
        if reply is None or reply.ending is not Ending.HELD:
            return
        self.reply = None
        opening = b"" if self._begun is not None else reply.opening
        self.connection.transport.write(
            opening + b"".join(reply.parts[self._sent :]) + reply.closing
        )
        self.call.chunks = len(reply.parts)
        self._told(self, Ending.DONE)


@asynccontextmanager
async def model_server(
    *, port: int = 0, defaults: Params | None = None
) -> AsyncIterator[ModelServer]:
    pulse = Pulse(asyncio.get_running_loop())
    server = ModelServer(defaults or Params(), pulse)
    listening, bound = await http1.serve(server, "127.0.0.1", port)
    server.api_base = f"http://127.0.0.1:{bound}/v1"
    try:
        yield server
    finally:
        listening.close()
        await server.close()
        await listening.wait_closed()


async def _run(arguments: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    defaults = Params(arguments.first_token_ms, arguments.token_ms, arguments.tokens)
    async with model_server(port=arguments.port, defaults=defaults) as server:
        if arguments.port_file:
            port = str(urlsplit(server.api_base).port)
            arguments.port_file.write_text(port)
        # Last, because it says that everything is ready.
        print(server.api_base, flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--first-token-ms", type=float, default=0.0)
    parser.add_argument("--token-ms", type=float, default=0.0)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--port-file", type=Path)
    asyncio.run(_run(parser.parse_args()))
