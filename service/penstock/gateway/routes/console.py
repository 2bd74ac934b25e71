"""The page for people: its files, as they stand in the package."""

from hashlib import sha256
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Header, Response

from penstock.gateway.problem import ProblemError

router = APIRouter(include_in_schema=False)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
"""What the page may do: run and load what comes from here, and make no text into markup."""

HEADERS = {
    # Asked for every time, and sent only when it is another one: a new release is there at once.
    "cache-control": "no-cache",
    "content-security-policy": POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

FILES = {
    file.name: file.read_bytes()
    for file in (files("penstock.gateway") / "console").iterdir()
    if file.name.endswith(tuple(_TYPES))
}
"""By their names: whatever else is asked for is not looked for on the disk."""

_TAGS = {name: f'"{sha256(content).hexdigest()[:20]}"' for name, content in FILES.items()}


@router.api_route("/", methods=["GET", "HEAD"])
async def page(if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """The console."""
    return _file("index.html", if_none_match)


@router.api_route("/console/{name}", methods=["GET", "HEAD"])
async def part(name: str, if_none_match: Annotated[str | None, Header()] = None) -> Response:
    """What it loads."""
    return _file(name, if_none_match)


def _file(name: str, known: str | None) -> Response:
    if name not in FILES:
        raise ProblemError(404, "no_such_file", "the console has no such file")
    headers = HEADERS | {"etag": _TAGS[name]}
    if known is not None and _TAGS[name] in known:
        return Response(status_code=304, headers=headers)
    kind = _TYPES[name[name.rindex(".") :]]
    return Response(FILES[name], headers=headers, media_type=kind)
