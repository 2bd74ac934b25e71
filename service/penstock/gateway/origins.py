"""Which web pages may use it? Those it serves itself, and those of GATEWAY__ORIGINS.

A browser says with `Origin` whose page makes it ask. It says nothing with what only reads; of that
a page elsewhere gets to see nothing, as long as CORS does not let it.
"""

import ipaddress
from collections.abc import Collection
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Receive, Scope, Send

from penstock.gateway.limits import refusal
from penstock.gateway.problem import ProblemError

_PORTS = {"http": ":80", "https": ":443"}


class Origins:
    """Args:
    app: gets what is left.
    origins: of pages elsewhere, as `scheme://host[:port]`.
    host: where it listens, where everybody may ask; None: it takes a token, which a page that
        has got here by another name does not know.
    """

    def __init__(self, app: ASGIApp, origins: Collection[str], host: str | None) -> None:
        self._app = app
        self._origins = frozenset(origins)
        named = {host, *(urlsplit(origin).hostname for origin in origins)}
        self._hosts = None if host is None else frozenset(named)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        error = self._refused(scope)
        if error is None:
            await self._app(scope, receive, send)
        else:
            await refusal(error)(scope, receive, send)

    def _refused(self, scope: Scope) -> ProblemError | None:
        host = origin = ""
        for name, value in scope["headers"]:
            if name == b"host":
                host = value.decode("latin-1").lower()
            elif name == b"origin":
                origin = value.decode("latin-1").lower()
        if self._hosts is not None and not _ours(host, self._hosts):
            return ProblemError(
                421,
                "unknown_host",
                "by this name it is not known, and a web page could have made it up (DNS "
                "rebinding): take localhost or the address, or put http://<name> into "
                "GATEWAY__ORIGINS, or give out tokens",
            )
        reads = scope["type"] == "http" and scope["method"] in {"GET", "HEAD", "OPTIONS"}
        if origin and not reads and origin not in self._origins and not _same(origin, host):
            return ProblemError(
                403, "foreign_origin", "pages of this origin may not ask; see GATEWAY__ORIGINS"
            )
        return None


def _same(origin: str, host: str) -> bool:
    """Whether the page is one that this host has sent."""
    scheme, _, where = origin.partition("://")
    port = _PORTS.get(scheme, "")
    return bool(where) and where.removesuffix(port) == host.removesuffix(port)


def _ours(host: str, known: Collection[str | None]) -> bool:
    """An address is no name, and a name without a dot is nobody's in the DNS: neither can be made
    to mean another machine.
    """
    try:
        name = urlsplit(f"//{host}").hostname or ""
        if name in known or ("." not in name.rstrip(".") and ":" not in name):
            return bool(name)
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
