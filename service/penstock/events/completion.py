"""How it ended: the records of the completions topic, exactly one per question."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock.events.again import Redrive, Replay

CompletionStatus = Literal["completed", "failed", "expired", "cancelled", "duplicate"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Error(_Part):
    kind: str = Field(
        description="RECORD, ANSWER, UPSTREAM, OPERATOR or DEADLINE: who has to act. CANCELLED: "
        "nobody."
    )
    code: str = Field(description="A stable word for machines.")
    message: str


class Program(_Part):
    name: str
    version: str | None = None


class Usage(_Part):
    """Tokens over all attempts."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    estimated: bool = Field(
        default=False,
        description="True where a call ended before the model reported its usage: what had been "
        "said of its answer is counted by the piece, and its prompt by the length.",
    )


class Timing(_Part):
    """Milliseconds. A question that never started has neither a first token nor a duration."""

    queued_ms: float = Field(description="From the record's timestamp to its first start.")
    first_token_ms: float | None = Field(
        None,
        description="From the first start to the first piece of the model's answer, which may be a "
        "marker of the adapter: readers get a little later what is said.",
    )
    duration_ms: float | None = Field(None, description="From the first start to the end.")


class Source(_Part):
    """The question's record: what makes a completion the one of this question."""

    topic: str
    partition: int
    offset: int
    timestamp: int = Field(description="The record's timestamp, Unix milliseconds.")
    group: str


class DeadLetterRef(_Part):
    topic: str


class Completion(_Part):
    """The end of one question."""

    type: Literal["completion"] = "completion"
    question_id: str
    status: CompletionStatus
    answer: str | None = Field(
        None, description="The output field `answer`, else the last text output."
    )
    outputs: dict[str, Any] | None = None
    partial: bool = Field(
        default=False, description="True where `outputs` are what was streamed until it expired."
    )
    error: Error | None = None
    program: Program | None = None
    model: str | None = None
    usage: Usage = Usage()
    attempts: int = 0
    timing: Timing
    last_sequence: int | None = Field(
        None, description="The sequence of the token event `end`; null where none was wanted."
    )
    source: Source
    duplicate_of: Source | None = Field(
        None, description="Of a `duplicate`: the question that was asked first under this id."
    )
    dead_letter: DeadLetterRef | None = None
    replay: Replay | None = Field(
        None, description="Where a replay has asked it again: which one, and which question."
    )
    redrive: Redrive | None = Field(
        None, description="Where it was a dead letter: by what it was redriven, and from where."
    )
    metadata: dict[str, Any] | None = None
