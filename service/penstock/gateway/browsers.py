"""What may a browser do with what it gets from here? Headers of every response."""

from collections.abc import Mapping

from starlette.types import ASGIApp, Message, Receive, Scope, Send

_NOTHING = "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

POLICIES: Mapping[str, str] = {
    # FastAPI's page, which loads Swagger UI from where that is published.
    "/docs": "default-src 'none'; script-src 'unsafe-inline' https://cdn.jsdelivr.net; "
    "style-src 'unsafe-inline' https://cdn.jsdelivr.net; img-src data: https://fastapi.tiangolo.com"
    f"; connect-src 'self'; {_NOTHING}",
}
"""By the path of a page. The console says its own; everything else is data, and loads nothing."""

DATA = f"default-src 'none'; {_NOTHING}"

HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
]


class Browsers:
    """Args:
    app: answers. What it says itself stands.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._headers = {path: _with(policy) for path, policy in POLICIES.items()}
        self._data = _with(DATA)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        ours = self._headers.get(scope["path"], self._data)

        async def with_ours(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.http.response.start"}:
                said = {name for name, _ in message["headers"]}
                more = [header for header in ours if header[0] not in said]
                message = {**message, "headers": [*message["headers"], *more]}
            await send(message)

        await self._app(scope, receive, with_ours)


def _with(policy: str) -> list[tuple[bytes, bytes]]:
    return [*HEADERS, (b"content-security-policy", policy.encode())]
