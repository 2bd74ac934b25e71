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


class Cancel(BaseModel):
    """Nobody wants the answer to this question any more."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["cancel"] = "cancel"
    question_id: str = Field(description="As in the key.")


class Pause(BaseModel):
    """Nothing new starts in the scope that the key names; what runs may finish."""

    model_config = ConfigDict(extra="ignore")

    type: Literal["pause"] = "pause"
    reason: str | None = Field(None, description="For whoever finds the service paused.")
