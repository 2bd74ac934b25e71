"""How does a program reach the model of a test? As it reaches any: over HTTP, but nowhere else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import aiohttp
from aiohttp import web
from aiohttp.client_proto import ResponseHandler

from penstock import assembly
from penstock.program import model
from penstock.program.model import Model
from penstock.settings import ModelSettings
from penstock.testing.clockwork import Clockwork
from penstock.testing.model import ScriptedModel

_ADDRESS = "http://model/v1"
_OURS = "openai"
"""The provider whose protocol it speaks."""


class Provider:
    """Of every model: our own client asks it, over a pair of sockets for each connection."""

    def __init__(self, loop: Clockwork, script: ScriptedModel) -> None:
        self._loop = loop
        app = web.Application(client_max_size=2**30)
        app.add_routes([web.post("/v1/chat/completions", script.serve)])
        # A model that hangs does so until the client has gone.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        await self._runner.setup()
        try:
            yield
        finally:
            await self._runner.cleanup()

    def build(self, wanted: ModelSettings, connections: int) -> Model:
        """As `assembly.build_model`, of whichever provider it is.

        Raises:
            ConfigurationError: one of its options is wrong.
        """
        provider, _, name = wanted.name.rpartition("/")
        built = model.build(
            f"{_OURS}/{name}",
            wanted.adapter,
            connections=connections,
            api_base=_ADDRESS,
            api_key="none",
            # What another provider takes, this one may refuse.
            options=wanted.options if provider == _OURS else {},
            engine="openai",
            timeouts=assembly.timeouts(wanted),
            connector=self._connector,
        )
        return replace(built, name=wanted.name)

    def _connector(self) -> aiohttp.BaseConnector:
        assert self._runner.server is not None
        return _Connector(self._loop, self._runner.server)


class _Connector(aiohttp.BaseConnector):
    def __init__(self, loop: Clockwork, server: web.Server) -> None:
        super().__init__(limit=0)
        self._clockwork = loop
        self._server = server

    async def _create_connection(self, *_: Any) -> ResponseHandler:
        near, far = self._clockwork.pair()
        await self._clockwork.connect_accepted_socket(self._server, far)
        return (await self._clockwork.create_connection(self._factory, sock=near))[1]
