"""What does a member of the group say of itself? The records `member/<nonce>` of the control topic.

Every few seconds, and nothing any more when it has ended: a record without a value takes it back.
One that is older than `SILENT_SECONDS` is of a process that has died, or cannot reach Kafka.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock.events.sums import Sums

MEMBER = "member/"
"""And the random name that the process took at its start."""

SILENT_SECONDS = 15.0
"""Three reports that did not come."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class Running(_Part):
    """A question that runs."""

    question_id: str
    partition: int
    offset: int
    seconds: float = Field(description="Since its first start.")


class Model(_Part):
    """One that programs ask, as the member finds it."""

    shut: str | None = Field(
        None, description="Why it is not called: `failing` or `rate_limited`; null: it is."
    )
    limit: float = Field(description="Calls at once that it serves without a queue, as is known.")


class Cause(_Part):
    """The failure that was one too many."""

    kind: str = Field(description="As `error.kind` of a completion: who has to act.")
    code: str = Field(description="A stable word for machines.")
    message: str = Field(description="Its first 200 characters.")


class Served(_Part):
    """A program, as those see it who ask."""

    version: str = Field(description="As in completions.")
    model: str = Field(description="That it asks, by its name in the settings.")
    inputs: list[str] = Field(description="The fields that a question must have.")
    accepts: list[str] = Field(description="... and may have; others are left out.")
    answer: str | None = Field(
        description="The output field whose text is the completion's `answer`, where that is known."
    )


class Member(_Part):
    """One running process of the service."""

    type: Literal["member"] = "member"
    group: str
    member_id: str = Field(description="As Kafka's group knows it; empty before it has joined.")
    host: str
    pid: int
    version: str
    started_at: str = Field(description="RFC 3339.")
    partitions: list[int] = Field(description="Assigned to it, of the questions.")
    paused: list[int] = Field(description="Of these, the ones from which it fetches nothing now.")
    slots: int = Field(description="Questions that may run at once.")
    in_flight: int = Field(description="Questions that run.")
    waiting: int = Field(description="Fetched and not started.")
    retrying: int = Field(0, description="Between two attempts.")
    held: int = Field(description="Of its partitions, what other members still run.")
    oldest_running: Running | None = None
    models: dict[str, Model] = Field(description="By their names in the settings.")
    programs: dict[str, Served] = Field(
        default_factory=dict,
        description="By their names. Empty: the release is before this.",
    )
    default_program: str | None = Field(None, description="That answers whoever names none.")
    gate_shut: bool = Field(description="Too many failed for good: it waits for an operator.")
    gate_cause: Cause | None = Field(
        None, description="What shut it; null: it is open, or the release is before this."
    )
    draining: bool = Field(description="It was asked to stop, and finishes what it runs.")
    questions: Sums | None = Field(
        None, description="Those since its start; null: the release is before this."
    )
