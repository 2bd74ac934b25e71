"""An answer from passages of one's own texts, and where they stand: BM25 over `handbook/`.

penstock run --program penstock.examples.retrieval:Program "May I send a pump back?"
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import dspy

HANDBOOK = Path(__file__).with_name("handbook")


class Index:
    """Which passages share the rarest words with a question?

    In memory and pure Python: for some thousands of passages. A vector store takes its place by
    having the same `search`; one that awaits is awaited in `aforward`.
    """

    SATURATION = 1.5
    """How much the same word again counts."""
    LENGTH = 0.75
    """How much a longer passage is worth less, from 0 to 1."""

    def __init__(self, passages: Sequence[str]) -> None:
        self._counts = [Counter(_words(passage)) for passage in passages]
        self._average = sum(count.total() for count in self._counts) / len(passages)
        containing = Counter(word for count in self._counts for word in count)
        self._weight = {
            word: math.log(1 + (len(passages) - found + 0.5) / (found + 0.5))
            for word, found in containing.items()
        }

    def search(self, question: str, most: int = 3) -> list[int]:
        """The numbers of the passages that fit best; none that has no word of the question."""
        words = set(_words(question))
        scores = [self._score(words, count) for count in self._counts]
        ranked = sorted(range(len(scores)), key=lambda number: -scores[number])
        return [number for number in ranked[:most] if scores[number] > 0]

    def _score(self, words: set[str], count: Counter[str]) -> float:
        length = 1 - self.LENGTH + self.LENGTH * count.total() / self._average
        return sum(
            self._weight[word]
            * (count[word] * (self.SATURATION + 1))
            / (count[word] + self.SATURATION * length)
            for word in words & count.keys()
        )


def _words(text: str) -> list[str]:
    return re.findall(r"\w{3,}", text.lower())


class AnswerFromPassages(dspy.Signature):
    """Answer the question from the passages alone; say so where they do not answer it."""

    passages: list[str] = dspy.InputField()
    question: str = dspy.InputField()
    answer: str = dspy.OutputField()


class Program(dspy.Module):
    def __init__(self, folder: Path = HANDBOOK) -> None:
        super().__init__()
        self.answer = dspy.Predict(AnswerFromPassages)
        # Once, when the service starts; a question only reads it.
        found = [
            (file.name, passage.strip())
            for file in sorted(folder.glob("*.md"))
            for passage in file.read_text(encoding="utf-8").split("\n\n")
        ]
        self.files, self.passages = zip(*found, strict=True)
        self.index = Index(self.passages)

    async def aforward(self, question: str) -> dspy.Prediction:
        found = self.index.search(question)
        if not found:
            # No model has to be paid for this.
            return dspy.Prediction(answer="The handbook says nothing about it.", sources=[])
        passages = [self.passages[number] for number in found]
        said = await self.answer.acall(question=question, passages=passages)
        sources = sorted({self.files[number] for number in found})
        return dspy.Prediction(answer=said.answer, sources=sources)
