"""What may a route answer beside what it promises? Said in its OpenAPI description."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from penstock.gateway.problem import MEDIA_TYPE


class Problem(BaseModel):
    """Problem details (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = Field(description="`about:blank`: the title says it.")
    title: str = Field(description="Of the status.")
    status: int
    detail: str = Field(description="One sentence for people, with what to do.")
    code: str = Field(description="A stable word for machines.")


_SAID = {
    400: "It cannot be understood.",
    401: "A bearer token is wanted, and a known one.",
    403: "This caller may not.",
    404: "There is none.",
    409: "It is not as it would have to be.",
    413: "The body is too large.",
    415: "The body is of another kind.",
    422: "Something in it is not as described.",
    429: "Too much at once; `Retry-After` says when.",
    503: "Kafka is away, or refuses it.",
}


def problems(*statuses: int, **examples: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """For `responses=`. `examples`: by `s` and a status, what may stand in it."""
    return {status: _response(status, examples.get(f"s{status}")) for status in statuses}


def _response(status: int, example: dict[str, Any] | None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": Problem.model_json_schema()}
    if example is not None:
        content["example"] = {"type": "about:blank", "status": status, **example}
    said: dict[str, Any] = {"description": _SAID[status], "content": {MEDIA_TYPE: content}}
    if status in {429, 503}:
        said["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}}
        }
    return said


COMMON = problems(400, 401, 403, 422, 503)
"""Of whatever wants to know who asks."""
BODY = problems(413, 415)
"""Of what has one."""


def example(**said: Any) -> ConfigDict:
    """For `model_config`."""
    return ConfigDict(json_schema_extra={"examples": [said]})


def model(of: type[BaseModel]) -> dict[int | str, dict[str, Any]]:
    """Of a route that writes its JSON itself."""
    return {200: {"model": of}}
