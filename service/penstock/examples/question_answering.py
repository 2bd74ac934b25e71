"""A question, a reasoned answer: the reasoning streams first, then the answer.

penstock run --program penstock.examples.question_answering:Program "Why is the sky blue?"
"""

import dspy


class Answer(dspy.Signature):
    """Answer for a curious reader, in at most three sentences."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Program(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.ChainOfThought(Answer)

    async def aforward(self, question: str) -> dspy.Prediction:
        return await self.answer.acall(question=question)
