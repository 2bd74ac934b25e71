"""What is asked: the records of the questions topic."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator


def _no_number(value: object) -> object:
    # pydantic would guess whether it counts seconds or milliseconds.
    if isinstance(value, int | float):
        raise ValueError("is a number; write RFC 3339, such as 2030-01-01T00:00:00Z")  # noqa: TRY004 - pydantic wants it
    return value


ONE_OF: dict[str, Any] = {
    "oneOf": [
        {"required": [name], "properties": {name: {"type": kind}}}
        for name, kind in (("question", "string"), ("inputs", "object"))
    ]
}
"""What the model's validator asks, as JSON Schema says it."""


class Question(BaseModel):
    """One question.

    `question` is short for `inputs: {"question": ...}`; exactly one of the two is there. Readers
    ignore fields they do not know.
    """

    model_config = ConfigDict(
        extra="ignore",
        strict=True,
        frozen=True,
        title="Question",
        # What is no number in JSON is refused by whoever reads it, and not made null in silence.
        ser_json_inf_nan="constants",
        json_schema_extra=ONE_OF,
    )

    id: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="Names the question in every event about it. Default: the header `ce_id`, "
        "else `topic/partition/offset`.",
    )
    question: Annotated[str, Field(min_length=1)] | None = None
    inputs: dict[str, Any] | None = Field(None, description="The program's input fields.")
    program: str | None = Field(None, description="Default: the configured one.")
    timeout_ms: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None,
        description="Milliseconds from the record's own timestamp; capped by DEADLINE__MAX_MS.",
    )
    expires_at: Annotated[datetime, Field(strict=False), BeforeValidator(_no_number)] | None = (
        Field(None, description="RFC 3339, with an offset; as a header: `ce_expirytime`.")
    )
    stream: bool = Field(True, description="Whether token events are wanted.")
    metadata: dict[str, Any] | None = Field(
        None, description="Comes back unchanged in the completion."
    )

    @model_validator(mode="after")
    def _one_of_question_and_inputs(self) -> Self:
        if self.question is not None and self.inputs is not None:
            raise ValueError("both question and inputs are given; write one of them")
        if self.question is None and self.inputs is None:
            raise ValueError("neither question nor inputs is given; write one of them")
        return self

    @property
    def fields(self) -> dict[str, Any]:
        return {"question": self.question} if self.inputs is None else self.inputs
