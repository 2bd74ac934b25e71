"""What is asked of all members at once: the records of the control topic.

The key says what a record is; the last one of a key counts. A pause is taken back by a record
without a value; a cancellation is not, for what it cancelled has ended.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

CANCEL = "cancel/"
"""And the id of a question."""
PAUSE = "pause/"
"""And what is paused: `all`, `partition/3`, `program/qa`."""
REDRIVE = "redrive/"
"""And the id of a redrive: what it selects, and how far it may have come."""


class Cancel(BaseModel):
    """Nobody wants the answer to this question any more."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["cancel"] = "cancel"
    question_id: str = Field(description="As in the key.")


class Redriving(BaseModel):
    """Dead letters go back to the questions under this id. How far they have, its group knows; but
    Kafka forgets what a group has committed (`offsets.retention.minutes`, a week) before it
    forgets the dead letters.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["redrive"] = "redrive"
    id: str
    questions: str
    dead_letters: str
    selection: tuple[str, ...] = Field(description="The words that select, in their order.")
    ends: dict[int, int] = Field(description="By partition, up to where it was to go at most.")


class Pause(BaseModel):
    """Nothing new starts in the scope that the key names; what runs may finish."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["pause"] = "pause"
    reason: str | None = Field(None, description="For whoever finds the service paused.")
