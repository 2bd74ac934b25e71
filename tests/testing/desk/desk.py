"""A user's programs."""

from typing import Any

import dspy

from penstock.errors import Reject, RetryLater

building = ["the index"]


class SupportDesk(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """Two steps, on the loop."""

    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("question -> draft")
        self.answer = dspy.ChainOfThought("question, draft -> answer")

    async def aforward(self, question: str) -> Any:
        if "customer 7" in question:
            raise Reject("no customer 7")
        if "index" in question and building:
            raise RetryLater(f"{building.pop()} is being built", after_s=30)
        if "bug" in question:
            return question.split("bug")[2]
        drafted = await self.draft.acall(question=question)
        return await self.answer.acall(question=question, draft=drafted.draft)


class Sums(dspy.Module):  # type: ignore[misc] # as above
    """In a thread, with a typed output."""

    def __init__(self) -> None:
        super().__init__()
        self.add = dspy.Predict("numbers: list[int] -> total: int, words: str")

    def forward(self, numbers: list[int]) -> Any:
        return self.add(numbers=numbers)
