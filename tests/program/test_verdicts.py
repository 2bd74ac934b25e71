"""`Reject` and `RetryLater`, from wherever a program raises them, and what else stands behind
exceptions that others have wrapped."""

import asyncio
import subprocess
import sys
from collections.abc import Callable

import dspy
import pytest

from penstock.errors import Reject, RetryLater
from tests.support.running import runner
from tests.support.thread_programs import Forward

HERE = "tests.program.test_verdicts"
REASON = "there is no customer 7"


class Own(Forward):
    """Raises before it asks a model."""

    async def aforward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - the field's name
        raise Reject(REASON)


class InAThread(Forward):
    def forward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - the field's name
        raise Reject(REASON)


class InAGroup(Own):
    async def aforward(self, question: str) -> dspy.Prediction:
        async with asyncio.TaskGroup() as group:
            group.create_task(super().aforward(question))
            group.create_task(asyncio.sleep(60))
        raise AssertionError("unreachable")


class Gathered(Own):
    async def aforward(self, question: str) -> dspy.Prediction:
        await asyncio.gather(super().aforward(question), asyncio.sleep(0))
        raise AssertionError("unreachable")


class Wrapped(Own):
    async def aforward(self, question: str) -> dspy.Prediction:
        try:
            return await super().aforward(question)
        except Reject as error:
            raise ValueError("it is about " + question) from error


class Changed(Own):
    """What it raises in the end is something else."""

    async def aforward(self, question: str) -> dspy.Prediction:
        try:
            return await super().aforward(question)
        except Reject:
            raise ValueError("it is about " + question)  # noqa: B904 - that is the point


class Inside(Forward):
    """A part of it rejects."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Own()

    async def aforward(self, question: str) -> dspy.Prediction:
        return await self.part.acall(question=question)


def _never(_: object, __: object) -> float:
    return 0.0


best = dspy.BestOfN(InAThread(), N=2, reward_fn=_never, threshold=1.0)
refined = dspy.Refine(InAThread(), N=2, reward_fn=_never, threshold=1.0)


class Later(Forward):
    async def aforward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - the field's name
        raise RetryLater("the index is being built", after_s=30)


class Wordless(Forward):
    async def aforward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - the field's name
        raise Reject


class HalfAWord(Forward):
    async def aforward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - the field's name
        raise Reject("no \ud800" + "!" * 5000)


class AsksInAGroup(Forward):
    async def aforward(self, question: str) -> dspy.Prediction:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(self.predict.acall(question=question))
        return asked.result()


class AsksInParallel(Forward):
    def forward(self, question: str) -> dspy.Prediction:
        one = dspy.Example(question=question).with_inputs("question")
        together = dspy.Parallel(num_threads=2, disable_progress_bar=True)
        return dspy.Prediction(answer=together([(self.predict, one)] * 2)[0].answer)


REJECTING = [
    f"{HERE}:{name}"
    for name in (
        *("Own", "InAThread", "InAGroup", "Gathered", "Wrapped", "Inside"),
        *("best", "refined"),
    )
]


@pytest.mark.parametrize("entry", REJECTING)
async def test_a_rejected_question_is_rejected_however_it_was_said(entry: str) -> None:
    async with runner(entry) as run:
        ran = await run(question="?")

        assert ran.kind_and_code == ("RECORD", "rejected")
        assert ran.failure is not None
        assert ran.failure.message == REASON
        assert len(run.models.calls) == 0


async def test_a_tool_that_rejects_ends_the_question() -> None:
    """An agent would show it to the model, and go on."""
    async with runner("tests.support.thread_programs:rejecting_tool", "react") as run:
        ran = await run(question="?")

        assert ran.kind_and_code == ("RECORD", "rejected")
        assert ran.failure is not None
        assert ran.failure.message == "nobody may ask about ?"
        assert len(run.models.calls) == 1


async def test_who_raises_something_else_means_something_else() -> None:
    async with runner(f"{HERE}:Changed") as run:
        ran = await run(question="?")

    assert ran.kind_and_code == ("ANSWER", "program_error")


async def test_later_says_when() -> None:
    async with runner(f"{HERE}:Later") as run:
        ran = await run(question="?")

    assert ran.kind_and_code == ("ANSWER", "retry_later")
    assert ran.failure is not None
    assert ran.failure.retry_after == 30.0
    assert ran.failure.message == "the index is being built"


def test_a_program_can_import_them_without_the_service() -> None:
    script = "import penstock.errors, sys; print({'dspy', 'aiokafka', 'pydantic'} & {*sys.modules})"
    ran = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)

    assert ran.stdout == "set()\n"


@pytest.mark.parametrize("after_s", [-1, float("nan"), float("inf")])
def test_later_is_a_time_from_now(after_s: float) -> None:
    with pytest.raises(ValueError, match="seconds from now"):
        RetryLater(after_s=after_s)


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ("Wordless", lambda message: message == "Reject"),
        ("HalfAWord", lambda message: message.startswith("no \ufffd!") and len(message) == 1000),
    ],
)
async def test_any_message_can_be_told(entry: str, says: Callable[[str], bool]) -> None:
    async with runner(f"{HERE}:{entry}") as run:
        ran = await run(question="?")

    assert ran.failure is not None
    assert says(ran.failure.message)


@pytest.mark.parametrize("entry", ["AsksInAGroup", "AsksInParallel"])
@pytest.mark.parametrize(
    ("model", "kind_and_code"),
    [
        ("429", ("UPSTREAM", "rate_limited")),
        ("401", ("OPERATOR", "model_auth")),
        ("context", ("RECORD", "context_window_exceeded")),
    ],
)
async def test_what_the_model_refuses_is_found_behind_what_is_raised(
    entry: str, model: str, kind_and_code: tuple[str, str]
) -> None:
    async with runner(f"{HERE}:{entry}", model) as run:
        ran = await run(question="?")

    assert ran.kind_and_code == kind_and_code
