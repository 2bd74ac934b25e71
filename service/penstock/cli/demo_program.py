"""The program that `penstock demo` serves: as small as a DSPy program can be."""

import dspy


class Answer(dspy.Signature):  # type: ignore[misc] # untyped base
    """Answer in one short sentence."""

    question: str = dspy.InputField()
    answer: str = dspy.OutputField()
