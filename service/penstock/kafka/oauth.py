"""OAUTHBEARER: where does a token come from, and was it taken?

    # desk.py; sasl.oauth.provider = desk:token
    async def token() -> str: ...

The client asks for one at every new connection; whoever provides it keeps it for as long as it is
good.
"""

import asyncio
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiokafka.abc import AbstractTokenProvider
from aiokafka.conn import AIOKafkaConnection, OAuthAuthenticator
from aiokafka.errors import KafkaConnectionError

from penstock.errors import ConfigurationError

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
            be a coroutine function, else it runs in a thread. The current folder is importable.

    Raises:
        ConfigurationError: it cannot be imported, or gives no tokens.
    """

    def __init__(self, name: str, entry: str) -> None:
        self._entry = entry
        self._provide = _provider(name, entry)
        _install()

    def __str__(self) -> str:
        return self._entry

    async def token(self) -> str:
        """Raises NoTokenError; what the provider itself says may have a secret in it."""
        try:
            async with asyncio.timeout(TOKEN_SECONDS):
                if inspect.iscoroutinefunction(self._provide):
                    found = await self._provide()
                else:
                    found = await asyncio.to_thread(self._provide)
                    if inspect.isawaitable(found):
                        found = await found
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


def _provider(name: str, entry: str) -> Callable[[], Any]:
    module, _, attribute = entry.partition(":")
    if not module or not attribute:
        raise ConfigurationError(f"{name} {entry!r} is not `package.module:attribute`")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        if inspect.isclass(found):
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
