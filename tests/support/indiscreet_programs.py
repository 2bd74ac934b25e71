"""Programs that say a key of the environment, wherever a program can say something."""

import asyncio
import os
import threading
from typing import Any

import dspy

from penstock.errors import Reject, RetryLater
from penstock.loop import Loop
from tests.support.programs import Shout


def key() -> str:
    """A secret of the settings, as a library of the program's may quote it."""
    return os.environ["PENSTOCK_MODEL__API_KEY"]


class Raises(Shout):
    async def aforward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - the field's name
        raise RuntimeError(f"the key {key()} does not open this")


class Rejects(Shout):
    async def aforward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - as above
        # Cut at 1000 characters, half a key would be left.
        raise Reject(f"{'x' * 985}{key()}")


class Postpones(Shout):
    async def aforward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - as above
        raise RetryLater(f"not with {key()}", after_s=0)


class InAThread(dspy.Module):  # type: ignore[misc] # DSPy has no types
    def __init__(self) -> None:
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    def forward(self, question: str) -> dspy.Prediction:
        raise ValueError(f"{question} {key()}")


class Behind(Shout):
    """A callback and a thread of its own fail, and it answers."""

    async def aforward(self, question: str) -> dspy.Prediction:
        def fail() -> None:
            raise RuntimeError(f"in a callback, with {key()}")

        asyncio.get_running_loop().call_soon(fail)
        thread = threading.Thread(target=fail)
        thread.start()
        thread.join()
        return await self.predict.acall(question=question)


class BreaksTheLoop(Shout):
    """The service itself fails, with the key in what is raised."""

    async def aforward(self, question: str) -> dspy.Prediction:  # noqa: ARG002 - as above
        def turn(_: object) -> float:
            raise RuntimeError(f"the loop turns no more: {key()}")

        broken: Any = Loop
        broken._turn = turn
        return dspy.Prediction(answer="nobody hears it")


class CannotBeMade(Shout):
    def __init__(self) -> None:
        super().__init__()
        raise RuntimeError(f"{key()} is no key")
