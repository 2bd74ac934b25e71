"""Which of OpenAI's fields may stand in a request? Those that are served, and others as long as
they say what is so anyway.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from penstock.events.text import whole_characters

Text = Annotated[str, AfterValidator(whole_characters)]

IDLE: dict[str, tuple[Any, ...]] = {
    "parallel_tool_calls": (True, False),
    "prompt": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "moderation": (),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "temperature": (1,),
    "tool_choice": ("auto", "none"),
    "tools": ([],),
    "top_logprobs": (0,),
    "top_p": (1,),
}
"""By the names of fields, the values that change nothing; null never does. Of both doors."""


class UnsupportedError(ValueError):
    """Of fields. `names`: theirs."""

    def __init__(self, names: list[str]) -> None:
        self.names: list[str] = whole_characters(names)
        super().__init__(f"not supported: {', '.join(self.names)}")


def _describe(schema: dict[str, Any], model: type["Asking"]) -> None:
    schema["properties"] |= {
        name: {"enum": [*values, None], "description": "Changes nothing."}
        for name, values in sorted(model.idle.items())
    }


class Asking(BaseModel):
    """What both of OpenAI's doors take."""

    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_describe)

    idle: ClassVar[Mapping[str, tuple[Any, ...]]] = IDLE

    model: Text = Field(description="The program that is asked; see `/v1/models`.")
    stream: bool | None = Field(None, description="Whether the answer comes as it is said.")
    metadata: Annotated[dict[Text, Text], Field(max_length=16)] | None = Field(
        None, description="Travels with the question, and stands in its completion."
    )
    user: Text | None = Field(None, description="Is not looked at.")
    safety_identifier: Text | None = Field(None, description="Is not looked at.")
    prompt_cache_key: Text | None = Field(None, description="Is not looked at.")
    timeout_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Ours: milliseconds in which it has to be answered; capped by "
        "DEADLINE__MAX_MS. Default: DEADLINE__DEFAULT_MS.",
    )
    key: Annotated[Text, Field(min_length=1, max_length=1024)] | None = Field(
        None, description="Ours: questions of one key are answered one after the other."
    )

    @model_validator(mode="before")
    @classmethod
    def _supported(cls, body: Any) -> Any:
        if not isinstance(body, dict):
            return body
        others = {name: value for name, value in body.items() if name not in cls.model_fields}
        if bad := [name for name, value in others.items() if not cls._idle(name, value)]:
            raise UnsupportedError(bad)
        return {name: value for name, value in body.items() if name not in others}

    @classmethod
    def _idle(cls, name: str, value: Any) -> bool:
        known = name in cls.idle
        return known and (value is None or any(_same(value, one) for one in cls.idle[name]))


def _same(value: Any, one: Any) -> bool:
    """As JSON: there, 1 is 1.0 but not true."""
    return bool(value == one) and isinstance(value, bool) == isinstance(one, bool)
