"""What may a route answer beside what it promises? Said in its OpenAPI description."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from penstock.gateway.problem import problems

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
