"""OAUTHBEARER: where does a token come from, and was it taken?

    # desk.py; sasl.oauth.provider = desk:token
    async def token() -> str: ...

The client asks for one at every new connection; whoever provides it keeps it for as long as it is
good.
"""

import asyncio
import inspect
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator
from aiokafka.errors import KafkaConnectionError

from penstock.errors import ConfigurationError
from penstock.importing import imported, is_entry

TOKEN_SECONDS = 10.0
"""For one token."""

_AGREED = b"\x01"


class NoTokenError(KafkaConnectionError):  # type: ignore[misc] # untyped base
    """There is none. The client tries again, as where no broker answers."""


class Tokens(AbstractTokenProvider):  # type: ignore[misc] # untyped base
    """Tokens of a provider of one's own.

    Args:
        name: of the setting, for messages.
        entry: `module:attribute`: a function, or an object or class with a method `token`; it may
            be a coroutine function, else it runs in a thread, one at a time. The current folder
            is importable.

    Raises:
        ConfigurationError: it cannot be imported, or gives no tokens.
    """

    def __init__(self, name: str, entry: str) -> None:
        self._entry = entry
        self._provide = _provider(name, entry)
        self._asked: Future[Any] | None = None
        _install()

    def __str__(self) -> str:
        return self._entry

    async def token(self) -> str:
        """Raises NoTokenError; what the provider itself says may have a secret in it."""
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                if _is_awaited(self._provide):
                    found = await self._provide()
                else:
                    found = await asyncio.wrap_future(self._in_thread())
        except TimeoutError as error:
            raise NoTokenError(f"{self._entry} gives none within {TOKEN_SECONDS:g} s") from error
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            place = f"{Path(last.filename).name}:{last.lineno}"
            raise NoTokenError(f"{self._entry} raised {type(error).__name__} ({place})") from error
        if not isinstance(found, str) or not found:
            what = "nothing" if not found else f"a {type(found).__name__}"
            raise NoTokenError(f"{self._entry} gives {what}, not a text")
        return found

    def _in_thread(self) -> "Future[Any]":
        """One that never comes back keeps one thread, which nobody waits for, not even the end of
        the process; whoever asks meanwhile waits for what it gives.
        """
        if self._asked is None or self._asked.done():
            self._asked = Future()
            # Who gives up waiting leaves it to the others.
            self._asked.set_running_or_notify_cancel()
            settling = (self._asked, self._provide)
            threading.Thread(target=_settle, args=settling, name="token", daemon=True).start()
        return self._asked


def _is_awaited(provide: Callable[[], Any]) -> bool:
    called = getattr(type(provide), "__call__", None)  # noqa: B004 - it is the one that runs
    return inspect.iscoroutinefunction(provide) or inspect.iscoroutinefunction(called)


def _settle(asked: "Future[Any]", provide: Callable[[], Any]) -> None:
    try:
        asked.set_result(provide())
    except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
        asked.set_exception(error)


def _provider(name: str, entry: str) -> Callable[[], Any]:
    if not is_entry(entry):
        raise ConfigurationError(f"{name} {entry!r} is not `package.module:attribute`")
    try:
        found = imported(entry)
    except ConfigurationError as error:
        raise ConfigurationError(f"{name}: {error}") from error.__cause__
    if inspect.isclass(found):
        try:
            found = found()
        except Exception as error:
            raise ConfigurationError(f"{name} {entry}: {type(error).__name__}: {error}") from error
    found = getattr(found, "token", found)
    if not callable(found):
        raise ConfigurationError(
            f"{name} {entry} is a {type(found).__name__}; it must be a function, or have a "
            "method `token`"
        )
    return found  # type: ignore[no-any-return] # callable, as far as anyone can tell


class _Authenticator(OAuthAuthenticator):  # type: ignore[misc] # untyped base
    """A broker that refuses a token says so in an answer without an error, which the client has to
    agree to (RFC 7628, 3.2.3). aiokafka takes it for a success: it then reads the refusal of its
    next request as a cluster without brokers.
    """

    async def step(self, payload: bytes | None) -> tuple[bytes, bool] | None:
        if payload:
            return _AGREED, True
        said: tuple[bytes, bool] | None = await super().step(payload)
        return said


def _install() -> None:
    """For every connection of this process."""

    def authenticator(self: Any) -> OAuthAuthenticator:
        return _Authenticator(sasl_oauth_token_provider=self._sasl_oauth_token_provider)

    AIOKafkaConnection.authenticator_oauth = authenticator
