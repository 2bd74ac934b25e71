"""A replay of some letters to a desk, as anybody might have it: for the page and its picture."""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple

from penstock.events.completion import Error, Program
from penstock.replay.comparison import Compared, compare
from penstock.replay.figures import Figures
from tests.support.recorded import Where, completion

OLD, NEW = (
    Program(name="desk", version="5f1c09a7be32"),
    Program(name="desk", version="b81d2c44e0f6"),
)
MODELS = ("openai/gpt-4o-mini", "openai/gpt-4.1-mini")


class Letter(NamedTuple):
    """None: it fails."""

    text: str
    before: str | None
    after: str | None


LETTERS = [
    Letter(
        "My pump hums and does not start.",
        "It needs a new capacitor. We send one today.",
        "The start capacitor is worn. We send a new one today, free of charge.",
    ),
    Letter(
        "Where is my order 4411?",
        "It left our warehouse on Monday and should be with you by Friday.",
        "It left our warehouse on Monday and should be with you by Thursday.",
    ),
    Letter("Please cancel order 4420.", "Order 4420 is cancelled.", "Order 4420 is cancelled."),
    Letter(
        "Can the P-200 pump sea water?",
        "Yes, it can.",
        "No: its housing is cast iron. For sea water take the P-200S, which is of bronze.",
    ),
    Letter("Ist die Garantie übertragbar?", None, "Ja, mit der Rechnung des Erstkäufers."),
    Letter(
        "Which oil does the gearbox take?",
        "An ISO VG 220 oil, 0.8 litres. Change it every 8,000 hours.",
        None,
    ),
    Letter("Do you ship to Norway?", "Yes, within five working days.", None),
    Letter("How loud is the P-100?", "It is 58 dB at one metre.", "It is 58 dB at one metre."),
    Letter("The app shows <error 17> & stops.", None, None),
    Letter("What does the repair cost?", "Between 80 and 120 euros.", "Between 80 and 120 euros."),
]


def letters(count: int = 20) -> Iterator[Compared]:
    """Seeded."""
    drawn = random.Random(20)
    for number in range(count):
        letter = LETTERS[number % len(LETTERS)]
        where = Where(number % 3, 1_840 + number, 1_764_331_200_000 + number)
        took, used = drawn.randint(700, 2_600), drawn.randint(150, 240)
        before = _side(number, where, letter.before, None, took, used)
        took, used = drawn.randint(500, 1_900), drawn.randint(170, 290)
        after = _side(number, where, letter.after, "monday", took, used)
        outcome = compare(before, after)
        assert outcome is not None
        inputs = {"letter": letter.text}
        yield Compared(where.partition, where.offset, inputs, before, after, *outcome)


def summary(compared: list[Compared]) -> dict[str, Any]:
    figures = Figures()
    for one in compared:
        figures.add(one)
    return {"replay": "monday", **figures.summary()}


def _side(
    number: int, where: Where, said: str | None, replay: str | None, took: int, used: int
) -> dict[str, Any]:
    unparsable = Error(kind="ANSWER", code="unparsable", message="the answer has no field `answer`")
    ended = completion(
        where,
        "penstock.questions",
        "penstock",
        None if said is None else {"answer": said},
        replay,
        status="failed" if said is None else "completed",
        error=unparsable if said is None else None,
        question_id=f"letter-{4_400 + number}",
        duration_ms=took,
        tokens=used // 2,
        program=OLD if replay is None else NEW,
        model=MODELS[replay is not None],
    )
    ended.timing.first_token_ms = took // 3
    return ended.model_dump(mode="json")
