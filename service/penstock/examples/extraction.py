"""An order out of a letter: typed fields, checked by pydantic before anybody sees them.

penstock run --program penstock.examples.extraction:Program text="Two pumps by Friday. Ada Byron"

What does not fit its type is asked again, as often as RETRY__ANSWER_ATTEMPTS says; so a reader of
completions finds an order, or why there is none. The prompt asks for JSON where a field is more
than a text, whichever the adapter.
"""

from datetime import date
from typing import Literal

import dspy
from pydantic import BaseModel, Field


class Line(BaseModel):
    article: str
    pieces: int = Field(ge=1)


class Order(BaseModel):
    customer: str
    lines: list[Line] = Field(min_length=1)
    wanted_by: date | None = Field(description="if the letter names a day")


class ReadOrder(dspy.Signature):
    """Read the order in a letter. Guess nothing that it does not say."""

    text: str = dspy.InputField()
    order: Order = dspy.OutputField()
    tone: Literal["friendly", "neutral", "angry"] = dspy.OutputField()


class Program(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read = dspy.Predict(ReadOrder)

    async def aforward(self, text: str) -> dspy.Prediction:
        return await self.read.acall(text=text)
