"""What is done with a question. `penstock run "Why is the sky blue?"` tries it."""

import dspy

from penstock.errors import Reject


class Answer(dspy.Signature):
    """Answer in one short sentence."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Program(dspy.Module):
    def __init__(self) -> None:
        super().__init__()
        self.answer = dspy.Predict(Answer)

    async def aforward(self, question: str) -> dspy.Prediction:
        if not question.strip():
            # No model is asked: the question goes to the dead letters, with these words.
            raise Reject("the question is empty")
        return await self.answer.acall(question=question)
