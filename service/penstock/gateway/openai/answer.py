"""What is told of an answer while it is said? A text that only grows."""

from collections.abc import Iterator
from typing import NamedTuple

import orjson

from penstock.events.completion import Completion
from penstock.gateway.problem import ProblemError

ANSWER = "answer"
REASONING = "reasoning"


class Delta(NamedTuple):
    """What comes next. `field`: `answer` or `reasoning`."""

    field: str
    text: str


class Growing:
    """One text, of which every piece is told once.

    Where it is said again, by another attempt or another call of a predictor, nothing is told
    until it says more than it has before.
    """

    def __init__(self) -> None:
        self.told = ""
        self.contradicted = False
        """What is said again after a `restart` is another text."""
        self._again: str | None = None
        """What is said now, as long as that is not what was told."""
        self._void = False
        self._call: tuple[str, int] | None = None
        self._calls: set[tuple[str, int]] = set()

    def hear(self, call: tuple[str, int], text: str) -> str:
        """What is to be told of a piece. `call`: of which predictor, and which of its calls."""
        if call != self._call:
            if call in self._calls:
                # Of several at once, the one that began last has the word.
                return ""
            self._calls.add(call)
            self._call = call
            self._again = "" if self.told else None
        if self._again is None:
            self.told += text
            return text
        self._again += text
        if self._again.startswith(self.told):
            rest = self._again[len(self.told) :]
            self.told, self._again = self._again, None
            return rest
        self.contradicted = self._void and not self.told.startswith(self._again)
        return ""

    def restart(self) -> None:
        """What was said is void."""
        self._void = True
        self._call = None
        self._calls.clear()

    def settle(self, whole: str) -> str | None:
        """The rest of it; None: it is another text than was told."""
        if not whole.startswith(self.told):
            return None
        rest = whole[len(self.told) :]
        self.told = whole
        return rest


class Answer:
    """The answer of one question, and what its program thinks before.

    Args:
        question_id: by which it is found.
        field: the output whose text is the answer; None: that is not known, and it is `answer`,
            or all of it comes at the end.
    """

    def __init__(self, question_id: str, field: str | None) -> None:
        self._question_id = question_id
        self._field = field or ANSWER
        self._answer, self._reasoning = Growing(), Growing()
        self._texts = {REASONING: (REASONING, self._reasoning), self._field: (ANSWER, self._answer)}

    def hear(self, value: bytes) -> Delta | None:
        """Of a record of the tokens.

        Raises:
            ProblemError: it contradicts what was told already.
        """
        event = orjson.loads(value)
        if event["type"] == "restart":
            self._answer.restart()
            self._reasoning.restart()
        if event["type"] != "token" or event["field"] not in self._texts:
            return None
        name, growing = self._texts[event["field"]]
        rest = growing.hear((event["step"], event["call"]), event["text"])
        if self._answer.contradicted:
            raise self._contradiction()
        return Delta(name, rest) if rest else None

    def settle(self, completion: Completion) -> Iterator[Delta]:
        """What is missing at the end.

        Raises:
            ProblemError: it contradicts what was told already.
        """
        if rest := self._reasoning.settle(reasoning(completion)):
            yield Delta(REASONING, rest)
        rest = self._answer.settle(text(completion))
        if rest is None:
            raise self._contradiction()
        if rest:
            yield Delta(ANSWER, rest)

    def _contradiction(self) -> ProblemError:
        return ProblemError(
            502,
            "restarted",
            "the program began again, and says something else than was told already; its answer "
            f"is found at /v1/questions/{self._question_id}",
        )


def text(completion: Completion) -> str:
    """Of an answer; of a program whose outputs are no texts, all of them as JSON."""
    if completion.answer is not None or completion.outputs is None:
        return completion.answer or ""
    return orjson.dumps(completion.outputs).decode()


def reasoning(completion: Completion) -> str:
    """What its program has thought, where that is an output beside others; else nothing."""
    outputs = completion.outputs or {}
    found = outputs.get(REASONING)
    return found if isinstance(found, str) and len(outputs) > 1 else ""
