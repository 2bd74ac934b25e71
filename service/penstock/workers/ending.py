"""A worker has ended: what follows?"""

import signal
from enum import Enum, auto


class Next(Enum):
    """Of the worker, and of all."""

    AGAIN = auto()
    """It is started again; the others go on."""
    ALL_END = auto()
    """The others drain, and all end with its exit code."""
    DONE = auto()
    """It was asked to."""


def follows(code: int, *, asked: bool, began: bool, before: bool) -> Next:
    """As an orchestrator of single processes would have it.

    Args:
        code: its exit code, or below 0 the number of the signal that killed it.
        asked: whether all were asked to end.
        began: whether it served.
        before: whether there was one in its place that served.
    """
    if asked:
        return Next.DONE
    if code <= 0:
        # Killed; or somebody asked it alone to end, and means that it should be replaced.
        return Next.AGAIN
    if before and not began:
        # As Kafka may be away for a while, which is no reason to stop those that wait for it.
        return Next.AGAIN
    return Next.ALL_END


def told(code: int) -> str:
    """For the log."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
