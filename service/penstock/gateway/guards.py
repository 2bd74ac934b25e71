"""What does every request pass before it is anybody's? From the outside to the inside."""

from typing import Any

from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware

from penstock.gateway.browsers import Browsers
from penstock.gateway.limits import Limits
from penstock.gateway.origins import Origins
from penstock.gateway.parts import OPERATOR
from penstock.gateway.traced import Traced
from penstock.settings import Settings


def guards(settings: Settings, *, everybody: bool) -> list[Middleware]:
    """`everybody`: whether anybody may ask without a token."""
    ours = settings.gateway
    cors = Middleware(
        CORSMiddleware,
        allow_origins=ours.origins,
        allow_methods=("GET", "POST"),
        # OpenAI's client sends a dozen of its own. None of them does anything by itself.
        allow_headers=("*",),
        expose_headers=("Location", "Content-Location", "Retry-After", "X-Should-Retry"),
    )
    return [
        Middleware(Traced),
        Middleware(Browsers),
        # Outside of what may refuse a request, so that the page sees why.
        *([cors] if ours.origins else []),
        Middleware(Origins, ours.origins, ours.host if everybody else None),
        Middleware(Limits, settings.bounds.value_bytes),
    ]


def without_tokens(document: dict[str, Any]) -> dict[str, Any]:
    """The OpenAPI description of a gateway where only operators need one."""
    for path in document["paths"].values():
        for operation in path.values():
            if not any(
                OPERATOR in roles for one in operation.get("security", []) for roles in one.values()
            ):
                operation.pop("security", None)
    return document
