"""What is asked of every program alike, and how much of it the model allows."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MARKERS = 11
"""Chunks of the model's answer that are none of its words: the field markers around them."""
MARKERS_BEFORE = 5
"""Of these, how many come before the first word."""
SEED = 11
SLOWLY = "slowly"
"""In a question: the model takes `slower` times as long for it."""


@dataclass(frozen=True, kw_only=True)
class Load:
    """So many questions at once, for a model of this pace.

    Args:
        questions: that are measured.
        slots: of each process.
        processes: of one group.
        first_token_ms: of the model, to its first chunk.
        token_ms: from one chunk to the next.
        chunks: of an answer, field markers included.
        partitions: of all topics.
        keys: that the questions have in turn; none: they have no key.
        slow: how many of a hundred questions are slow.
        slower: how many times slower these are.
    """

    questions: int
    slots: int = 64
    processes: int = 1
    first_token_ms: float = 200
    token_ms: float = 5
    chunks: int = 64
    partitions: int = 6
    keys: int | None = None
    slow: float = 0
    slower: float = 1

    @property
    def all_slots(self) -> int:
        return self.slots * self.processes

    @property
    def words(self) -> int:
        return self.chunks - MARKERS

    @property
    def answer_ms(self) -> float:
        """That the model takes for a question that is not slow."""
        return self.first_token_ms + (self.chunks - 1) * self.token_ms

    @property
    def limit(self) -> float:
        """Questions per second: in so many slots the model answers no more."""
        mean_ms = self.answer_ms * (1 + self.slow / 100 * (self.slower - 1))
        return self.all_slots * 1000 / mean_ms

    @property
    def settle_ms(self) -> float:
        """Until as many slots are taken by slow questions as ever will be."""
        return self.answer_ms * self.slower if self.slow else 0

    @property
    def model(self) -> str:
        """Its name, as the model server knows it."""
        return f"bench?slower={self.slower:g}" if self.slow else "bench"

    @property
    def paces(self) -> dict[str, float]:
        """Of the model server."""
        return {
            "first_token_ms": self.first_token_ms,
            "token_ms": self.token_ms,
            "tokens": self.words,
        }

    def ids(self) -> list[str]:
        """Of the questions; which are slow is the same every time."""
        share = round(self.questions * self.slow / 100)
        slow = set(random.Random(SEED).sample(range(self.questions), share))
        return [f"{SLOWLY if number in slow else 'q'}-{number}" for number in range(self.questions)]

    def times(self, question_id: str) -> float:
        """As long as for others does the model take for this question."""
        return self.slower if question_id.startswith(SLOWLY) else 1

    def first_word_ms(self, question_id: str) -> float:
        """That the model takes to the first word of the answer, markers being before it."""
        own_ms = self.first_token_ms + MARKERS_BEFORE * self.token_ms
        return own_ms * self.times(question_id)

    def key(self, number: int) -> str | None:
        return None if self.keys is None else f"k{number % self.keys}"

    def conditions(self) -> dict[str, Any]:
        return dict(self._conditions())

    def _conditions(self) -> Iterator[tuple[str, Any]]:
        yield "questions", self.questions
        yield "slots", self.slots
        yield "first_token_ms", self.first_token_ms
        yield "token_ms", self.token_ms
        yield "tokens", self.chunks
        yield "partitions", self.partitions
        if self.keys is not None:
            yield "keys", self.keys
        if self.slow:
            yield "slow_percent", self.slow
            yield "times_slower", self.slower
        yield "limit_per_second", round(self.limit, 1)
