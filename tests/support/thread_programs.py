"""Programs with a `forward` alone, which run in threads, and what they run into there."""

import asyncio
import threading
import time
import warnings
from contextlib import suppress
from typing import Any

import dspy

from penstock.errors import Reject

PATIENCE_S = 10.0
DOZING_S = 8.0


class Forward(dspy.Module):  # type: ignore[misc] # DSPy has no types
    """As most DSPy programs are written."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        return self.predict(question=question)


class Toned(dspy.Module):  # type: ignore[misc] # as above
    """An input it needs, and one it does not."""

    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("question, tone -> answer")

    def forward(self, question: str, tone: str = "calm") -> dspy.Prediction:
        return self.predict(question=question, tone=tone)


class Both(Forward):
    """Its `aforward` is the one that is served."""

    async def aforward(self, question: str) -> dspy.Prediction:
        return await self.predict.acall(question=f"awaited {question}")


class Gate:
    """Where a test holds a thread: it says when it is there, and goes on when it may."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self._open = threading.Event()
        self.passed = 0

    def let_pass(self) -> None:
        self._open.set()

    def enter(self) -> None:
        self.entered.release()
        assert self._open.wait(PATIENCE_S), "nobody let it pass"
        self.passed += 1

    async def reached(self) -> None:
        """Until one more thread has come."""
        assert await asyncio.to_thread(self.entered.acquire, timeout=PATIENCE_S)


GATE = Gate()


def new_gate() -> Gate:
    global GATE  # noqa: PLW0603 - programs are imported by their name, and find it here
    GATE = Gate()
    return GATE


class Held(Forward):
    """Waits at the gate, where nothing can interrupt it."""

    def forward(self, question: str) -> dspy.Prediction:
        GATE.enter()
        return self.predict(question=question)


class HeldAtTheEnd(Forward):
    """Answers, and will not end."""

    def forward(self, question: str) -> dspy.Prediction:
        said = self.predict(question=question)
        GATE.enter()
        return said


class StubbornAtTheEnd(Forward):
    """The same on the loop, whatever cancels it."""

    async def aforward(self, question: str) -> dspy.Prediction:
        said = await self.predict.acall(question=question)
        waiting = asyncio.ensure_future(asyncio.to_thread(GATE.enter))
        while not waiting.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({waiting})
        return said


class Greedy(Forward):
    """Waits at the gate on the event loop."""

    async def aforward(self, question: str) -> dspy.Prediction:
        GATE.enter()
        return await self.predict.acall(question=question)


class Together(Forward):
    """Goes on when all who are asked at once are there."""

    barrier = threading.Barrier(1)

    def forward(self, question: str) -> dspy.Prediction:
        self.barrier.wait(PATIENCE_S)
        return self.predict(question=question)


class AsksForEver(Forward):
    """Whatever goes wrong, it asks again."""

    def forward(self, question: str) -> dspy.Prediction:
        while True:
            try:
                self.predict(question=question)
            except Exception:  # noqa: BLE001 - as people write it
                continue


class InParallel(Forward):
    """Makes threads of its own."""

    def forward(self, question: str) -> dspy.Prediction:
        asked = [dspy.Example(question=f"{question}{n}").with_inputs("question") for n in "123"]
        together = dspy.Parallel(num_threads=3, disable_progress_bar=True)
        said = together([(self.predict, one) for one in asked])
        return dspy.Prediction(answer=", ".join(one.answer for one in said))


class Quits(Forward):
    def forward(self, question: str) -> dspy.Prediction:
        raise SystemExit(f"because of {question}")


class Prints(Forward):
    """Also what no terminal can show."""

    def forward(self, question: str) -> dspy.Prediction:
        print(f"printed {question}", "\ud800")
        return self.predict(question=question)


class Nothing(Forward):
    """Its author has forgotten to return something."""

    def forward(self, question: str) -> None:
        self.predict(question=question)


class Agent(Forward):
    """An agent in a thread, with a tool that awaits."""

    def __init__(self) -> None:
        super().__init__()
        self.agent = dspy.ReAct("question -> answer", tools=[where_it_awaits], max_iters=2)

    def forward(self, question: str) -> dspy.Prediction:
        return self.agent(question=question)


RAN_IN: list[int] = []
"""The threads of the tools below."""


async def where_it_awaits(topic: str) -> str:
    """Says where."""
    await asyncio.sleep(0)
    RAN_IN.append(threading.get_ident())
    return f"awaited {topic}"


def where_it_runs(topic: str) -> str:
    """Says where."""
    RAN_IN.append(threading.get_ident())
    return f"ran {topic}"


def waits_at_the_gate(topic: str) -> str:
    """Takes its time."""
    GATE.enter()
    return topic


def rejects(topic: str) -> str:
    """Knows better."""
    raise Reject(f"nobody may ask about {topic}")


async def asks_another_program(topic: str) -> str:
    """A tool that asks a model."""
    said = await dspy.Predict("question -> answer").acall(question=topic)
    return str(said.answer)


def _agent(tool: Any) -> dspy.ReAct:
    return dspy.ReAct("question -> answer", tools=[tool], max_iters=2)


sync_tool = _agent(where_it_runs)
async_tool = _agent(where_it_awaits)
slow_tool = _agent(waits_at_the_gate)
rejecting_tool = _agent(rejects)
asking_tool = _agent(asks_another_program)


def _prefers_two(_: dict[str, Any], said: dspy.Prediction) -> float:
    return float(said.answer.endswith("2"))


def _likes_nothing(_: dict[str, Any], __: dspy.Prediction) -> float:
    return 0.5


best_of_3 = dspy.BestOfN(
    dspy.ChainOfThought("question -> answer"), N=3, reward_fn=_prefers_two, threshold=2.0
)
best_of_2 = dspy.BestOfN(
    dspy.ChainOfThought("question -> answer"), N=2, reward_fn=_likes_nothing, threshold=2.0
)
refined = dspy.Refine(
    dspy.ChainOfThought("question -> answer"), N=2, reward_fn=_likes_nothing, threshold=2.0
)
with warnings.catch_warnings():
    # DSPy's own use of what DSPy deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    compared = dspy.MultiChainComparison("question -> answer", M=2)


class Dozing(Forward):
    """Does not come back for a while, whatever its time is; one may be told to end meanwhile."""

    def forward(self, question: str) -> dspy.Prediction:
        time.sleep(DOZING_S)
        return self.predict(question=question)


class Miscounts(Forward):
    """Asks a model that nobody has taught to count."""

    def forward(self, question: str) -> dspy.Prediction:
        for count in (-5, "many", float("inf"), None, 3):
            used = {"prompt_tokens": count, "completion_tokens": count, "total_tokens": count}
            dspy.settings.usage_tracker.add_usage("own", used)
        return dspy.Prediction(answer=question)
