"""The page for people: its files, as they stand in the package."""

import gzip
from hashlib import sha256
from importlib.resources import files
from typing import Annotated, NamedTuple

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
    "cross-origin-resource-policy": "same-origin",
    "vary": "accept-encoding",
    "x-frame-options": "DENY",
}

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class File(NamedTuple):
    """`tag`: by which a browser knows that it has it."""

    kind: str
    tag: str
    plain: bytes
    packed: bytes


def _read() -> dict[str, File]:
    found = {}
    for file in (files("penstock.gateway") / "console").iterdir():
        kind = _TYPES.get(file.name[file.name.rfind(".") :])
        if kind is not None:
            plain = file.read_bytes()
            # Weak: packed or not, it is the same page.
            tag = f'W/"{sha256(plain).hexdigest()[:20]}"'
            found[file.name] = File(kind, tag, plain, gzip.compress(plain, mtime=0))
    return found


FILES = _read()
"""By their names: whatever else is asked for is not looked for on the disk."""

Known = Annotated[str | None, Header(alias="if-none-match")]
Unpacks = Annotated[str, Header(alias="accept-encoding")]


@router.api_route("/", methods=["GET", "HEAD"])
async def page(known: Known = None, unpacks: Unpacks = "") -> Response:
    """The console."""
    return _sent(FILES["index.html"], known, unpacks)


@router.api_route("/console/{name}", methods=["GET", "HEAD"])
async def part(name: str, known: Known = None, unpacks: Unpacks = "") -> Response:
    """What it loads."""
    if name not in FILES:
        raise ProblemError(404, "no_such_file", "the console has no such file")
    return _sent(FILES[name], known, unpacks)


def _sent(file: File, known: str | None, unpacks: str) -> Response:
    headers = HEADERS | {"etag": file.tag}
    if known is not None and file.tag.removeprefix("W/") in known:
        return Response(status_code=304, headers=headers)
    if "gzip" not in unpacks:
        return Response(file.plain, headers=headers, media_type=file.kind)
    headers["content-encoding"] = "gzip"
    return Response(file.packed, headers=headers, media_type=file.kind)
