"""Programs that have spans, or a language model, of their own."""

from typing import Any

import dspy
from dspy.lm15 import Message, Request, Response, TextPart, Usage
from opentelemetry import trace


class WithASpan(dspy.Module):  # type: ignore[misc] # DSPy has no types
    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        with trace.get_tracer("theirs").start_as_current_span("look up"):
            return self.predict(question=question)


class _Engine:
    """As DSPy's users write them."""

    def complete(self, _: Request) -> Response:
        text = "[[ ## answer ## ]]\nmine\n\n[[ ## completed ## ]]"
        said = Message(role="assistant", parts=(TextPart(text=text),))
        usage = Usage(input_tokens=3, output_tokens=4, total_tokens=7)
        return Response("id", "mine", said, "stop", usage)


class OwnModel(dspy.LM):  # type: ignore[misc] # as above
    def __init__(self) -> None:
        super().__init__("mine", engine=_Engine(), cache=False, temperature=0.5)


class WithItsOwnModel(dspy.Module):  # type: ignore[misc] # as above
    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("question -> answer")
        self.own: Any = OwnModel()

    def forward(self, question: str) -> dspy.Prediction:
        with dspy.context(lm=self.own):
            return self.predict(question=question)
