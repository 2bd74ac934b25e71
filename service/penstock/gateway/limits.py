"""Which requests are not even looked at? Those that are too large, of the wrong kind, or show a
token where everybody on the way writes it down.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qsl

from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from penstock.gateway.problem import MEDIA_TYPE, ProblemError

HEADER_BYTES = 16 * 1024
"""Of a request, with its first line."""

ENVELOPE_BYTES = 64 * 1024
"""What a body may have beside the question itself, which may be a record's value."""

BATCH_BYTES = 16 * 1024 * 1024

BATCH = "/v1/questions:batch"

SECRETS_IN_URLS = {"token", "access_token", "api_key"}

_JSON = re.compile(r"application/(json|[\w.-]+\+json)", re.ASCII)
_LINES = re.compile(r"application/((x-)?(nd)?json(l|-?lines|-seq)?|[\w.-]+\+json)", re.ASCII)


class _Wanted(NamedTuple):
    bytes: int
    kinds: re.Pattern[str]
    called: str


class _TooLargeError(Exception):
    """Goes through whatever reads the body, and is answered here."""


class Limits:
    """Args:
    app: gets what is left.
    value_bytes: of one question.
    """

    def __init__(self, app: ASGIApp, value_bytes: int) -> None:
        self._app = app
        self._question = _Wanted(value_bytes + ENVELOPE_BYTES, _JSON, "application/json")
        self._batch = _Wanted(BATCH_BYTES, _LINES, "application/x-ndjson")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As ASGI calls it."""
        wanted = self._batch if scope["path"] == BATCH else self._question
        error = _refused(scope, wanted)
        if error is not None:
            await refusal(error)(scope, receive, send)
        elif scope["type"] == "http" and scope["method"] not in {"GET", "HEAD", "OPTIONS"}:
            await self._limited(scope, receive, send, wanted.bytes)
        else:
            await self._app(scope, receive, send)

    async def _limited(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        """A body in chunks says only at its end how large it is."""
        received, begun = 0, False

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise _TooLargeError
            return message

        async def guarded(message: Message) -> None:
            nonlocal begun
            # What the application makes of this is not what has happened.
            if begun or received <= limit:
                begun = True
                await send(message)

        try:
            await self._app(scope, counted, guarded)
        except Exception:
            if begun or received <= limit:
                raise
        if received > limit and not begun:
            await refusal(_too_large(limit))(scope, receive, send)


def refusal(error: ProblemError) -> JSONResponse:
    """Of a request, or of a WebSocket's handshake."""
    return JSONResponse(error.document, error.status, error.headers, media_type=MEDIA_TYPE)


def _refused(scope: Scope, wanted: _Wanted) -> ProblemError | None:
    size, length, kind, chunked = len(scope["raw_path"]) + len(scope["query_string"]), 0, "", False
    for name, value in scope["headers"]:
        size += len(name) + len(value) + 4
        if name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            chunked = True
        elif name == b"content-type":
            kind = value.decode("latin-1").partition(";")[0].strip().lower()
    if size > HEADER_BYTES:
        return ProblemError(
            431, "headers_too_large", f"a request's headers may have {HEADER_BYTES} bytes"
        )
    if scope["query_string"] and _shows_a_secret(scope["query_string"]):
        return ProblemError(
            400,
            "token_in_url",
            "a token in a URL stands in logs and histories: make a new one, and show it in the "
            "header `Authorization: Bearer ...`",
        )
    if length > wanted.bytes:
        return _too_large(wanted.bytes)
    has_body = scope.get("method") in {"POST", "PUT", "PATCH"} and (length > 0 or chunked)
    if has_body and not wanted.kinds.fullmatch(kind):
        return ProblemError(
            415,
            "wrong_content_type",
            f"the content-type has to be {wanted.called}",
            headers={"Accept": wanted.called},
        )
    return None


def _shows_a_secret(query: bytes) -> bool:
    named = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    return any(name.lower() in SECRETS_IN_URLS for name, _ in named)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, "too_large", f"a body may have {limit} bytes here")
