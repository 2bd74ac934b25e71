"""Programs as their authors write them, good and bad, for `package.module:attribute`."""

import asyncio
from contextlib import suppress
from typing import Any

import dspy


def lookup(topic: str) -> str:
    """What the library knows about a topic."""
    return f"Everything about {topic}."


class Counted(dspy.Signature):  # type: ignore[misc] # DSPy has no types
    """Answer, and count the facts."""

    question: str = dspy.InputField()
    facts: list[str] = dspy.OutputField()
    count: int = dspy.OutputField()


class DraftThenAnswer(dspy.Module):  # type: ignore[misc] # as above
    """Two predictors, one after the other; the second one's output is the program's."""

    def __init__(self) -> None:
        super().__init__()
        self.draft = dspy.Predict("question -> draft")
        self.answer = dspy.Predict("question, draft -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        draft = await self.draft.acall(question=question)
        return await self.answer.acall(question=question, draft=draft.draft)


class AskTwice(dspy.Module):  # type: ignore[misc] # as above
    """One predictor, called twice."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        first = await self.predict.acall(question=question)
        return await self.predict.acall(question=first.answer)


class Shout(dspy.Module):  # type: ignore[misc] # as above
    """Its answer is made in Python, after the model has spoken."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    async def aforward(self, question: str) -> dspy.Prediction:
        said = await self.predict.acall(question=question)
        return dspy.Prediction(answer=said.answer.upper())


class Sign(Shout):
    """Its answer goes on where the model's ends."""

    async def aforward(self, question: str) -> dspy.Prediction:
        said = await self.predict.acall(question=question)
        return dspy.Prediction(answer=f"{said.answer}, sincerely", model="mine")


class HalfACharacter(Shout):
    """Its answer holds half of a surrogate pair, as a model can spell it in JSON."""

    async def aforward(self, question: str) -> dspy.Prediction:
        await self.predict.acall(question=question)
        return dspy.Prediction(answer="\ud800")


class Unencodable(Shout):
    """Its answer is no JSON."""

    async def aforward(self, question: str) -> dspy.Prediction:
        said = await self.predict.acall(question=question)
        loop: list[Any] = []
        loop.append(loop)
        return dspy.Prediction(answer=said.answer, number=float("nan"), thing=object(), loop=loop)


class Broken(Shout):
    async def aforward(self, question: str) -> dspy.Prediction:
        raise KeyError(f"a mistake in {len(question)} places")


class Uncallable(dspy.Module):  # type: ignore[misc] # as above
    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("question -> answer")


class NotAwaited(Shout):
    """A sync call on the event loop."""

    async def aforward(self, question: str) -> dspy.Prediction:
        return self.predict(question=question)


class AtOnce(Shout):
    """One predictor, called three times at once; the second call is its answer."""

    async def aforward(self, question: str) -> dspy.Prediction:
        asked = (self.predict.acall(question=f"{question}{n}") for n in "123")
        return (await asyncio.gather(*asked))[1]


class Halfway(Shout):
    """Fails after the model has spoken."""

    async def aforward(self, question: str) -> dspy.Prediction:
        await self.predict.acall(question=question)
        raise RuntimeError("no more")


class NoPredictor(dspy.Module):  # type: ignore[misc] # as above
    async def aforward(self, question: str) -> dspy.Prediction:
        return dspy.Prediction(answer=question)


class NoOutput(dspy.Signature):  # type: ignore[misc] # as above
    question: str = dspy.InputField()


class NeedsArguments(DraftThenAnswer):
    def __init__(self, depth: int) -> None:
        super().__init__()
        self.depth = depth


agent = dspy.ReAct("question -> answer", tools=[lookup], max_iters=3)
thoughtful = dspy.ChainOfThought("question -> answer")
not_a_program = {"question": "answer"}


class Panics(Shout):
    """Raises what is no `Exception`, as extensions written in Rust do."""

    async def aforward(self, question: str) -> dspy.Prediction:
        raise SystemExit(f"because of {question}")


class CancelsItself(Shout):
    """Awaits a task that it has cancelled."""

    async def aforward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - the field's name
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task
        raise AssertionError("unreachable")


class CancelsItselfHalfway(Shout):
    """When it sees what the model has said."""

    async def aforward(self, question: str) -> dspy.Prediction:
        said = await self.predict.acall(question=question)
        if said.answer == "wrong":
            raise asyncio.CancelledError
        return said


class PanicsHalfway(Shout):
    """The same, and no `Exception` either."""

    async def aforward(self, question: str) -> dspy.Prediction:
        said = await self.predict.acall(question=question)
        if said.answer == "wrong":
            raise SystemExit
        return said


class Stubborn(Shout):
    """Does not end when it is cancelled, for a while."""

    async def aforward(self, question: str) -> dspy.Prediction:
        for _ in range(3):
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
        return dspy.Prediction(answer=question)


class Leaks(Shout):
    """Fails with the answer's text in its message."""

    async def aforward(self, question: str) -> dspy.Prediction:
        said = await self.predict.acall(question=question)
        return dspy.Prediction(answer=str(int(said.answer)))
