"""Who is let in, and how often? By his bearer token (RFC 6750).

Without tokens in the settings everybody who reaches it may ask, so it listens on this machine alone
unless the settings say that this is meant; who operates shows the token that is made at each start.
"""

import base64
import binascii
import ipaddress
import math

from starlette.requests import HTTPConnection

from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.gateway.caller import Caller, unknown
from penstock.gateway.jwks import Issuer
from penstock.gateway.problem import ProblemError
from penstock.gateway.rates import Rates
from penstock.gateway.tokens import PREFIX, Grant, TokenFile, digest, new_token
from penstock.settings import GatewaySettings

BEARER = "penstock.bearer."
"""Before the token, in base64url without padding, where a browser opens a WebSocket: it cannot set
headers, but offer subprotocols. This one is never the one that is agreed upon.
"""

_JWT_DOTS = 2


class Access:
    """Args:
        settings: whose tokens are known.
        clock: of the process.

    Raises:
        ConfigurationError: it would be open to everybody, or the tokens cannot be read.
    """

    def __init__(self, settings: GatewaySettings, clock: Clock) -> None:
        named = settings.tokens is not None or settings.jwt is not None
        self.open = settings.open or not named
        """Whether everybody may ask."""
        if self.open and not settings.open and not loopback(settings.host):
            raise ConfigurationError(
                f"the gateway would let in everybody who reaches {settings.host}: set "
                "GATEWAY__TOKENS to a file of tokens (`penstock token NAME >> tokens.toml`), or "
                "GATEWAY__JWT, or GATEWAY__OPEN=true if that is meant"
            )
        self.operator_token = None if named else new_token()
        """Of this start; None: operators have tokens of their own."""
        self._clock = clock
        self._operator = None if self.operator_token is None else digest(self.operator_token)
        self._tokens = None if settings.tokens is None else TokenFile(settings.tokens)
        self._issuer = None if settings.jwt is None else Issuer(settings.jwt, clock)
        self._rates = Rates()
        self._per_minute = settings.requests_per_minute

    async def stop(self) -> None:
        if self._issuer is not None:
            await self._issuer.stop()

    async def caller(self, connection: HTTPConnection) -> Caller:
        """Raises ProblemError: (401) nobody who may come in; (503) nobody can tell."""
        token = shown(connection)
        if token is not None:
            if token.startswith(PREFIX):
                return self._known(token)
            if self._issuer is not None and token.count(".") == _JWT_DOTS:
                return await self._issuer.caller(token)
        # The clients of other APIs always show something.
        if self.open:
            return Caller()
        if token is None:
            raise ProblemError(
                401,
                "no_token",
                "this needs a token, in the header `Authorization: Bearer ...`",
                headers={"WWW-Authenticate": "Bearer"},
            )
        raise unknown("this is no token that is known here")

    def spend(self, caller: Caller) -> None:
        """He asks one question.

        Raises:
            ProblemError: (429) too many in a minute; (401) his token is not good any more.
        """
        caller.must_hold()
        per_minute = caller.requests_per_minute or self._per_minute
        if per_minute is None:
            return
        wait = self._rates.spend(caller.subject, per_minute, self._clock.monotonic())
        if wait > 0:
            raise ProblemError(
                429,
                "rate_limit",
                f"{per_minute} questions a minute may be asked here",
                headers={"Retry-After": str(math.ceil(wait))},
            )

    def _known(self, token: str) -> Caller:
        hashed = digest(token)
        if self._operator is not None and hashed == self._operator:
            return Caller("operator", operator=True)
        found = self._find(hashed)
        if found is None:
            raise unknown("this is no token that is known here")
        name, grant = found
        return Caller(
            subject=name,
            programs=None if grant.programs is None else frozenset(grant.programs),
            operator=grant.operator,
            requests_per_minute=grant.requests_per_minute,
            holds=lambda: self._find(hashed) == found,
        )

    def _find(self, hashed: bytes) -> tuple[str, Grant] | None:
        if self._tokens is None:
            return None
        return self._tokens.find(hashed, self._clock.monotonic())


def shown(connection: HTTPConnection) -> str | None:
    """The token that comes with it; None: there is none, or something else than a token."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    for offered in connection.scope.get("subprotocols", ()):
        if offered.startswith(BEARER):
            return _decoded(offered.removeprefix(BEARER))
    return None


def subprotocol(connection: HTTPConnection, *ours: str) -> str | None:
    """Which of ours the WebSocket's client speaks: what the acceptance has to say. A browser that
    offers some wants one of them; None: there is none, and nothing is said.
    """
    offered = connection.scope.get("subprotocols", ())
    return next((name for name in offered if name in ours), None)


def loopback(host: str) -> bool:
    """Whether only this machine itself reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _decoded(offered: str) -> str | None:
    try:
        whole = base64.urlsafe_b64decode(offered + "=" * (-len(offered) % 4))
        return whole.decode("ascii")
    except (binascii.Error, ValueError):
        return None
