"""The only reader of time."""

import time
from collections.abc import Callable
from dataclasses import dataclass


def _boottime() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` counts seconds, also through a suspended machine where the system can tell;
    `wall` is Unix time in seconds.
    """

    monotonic: Callable[[], float] = (
        _boottime if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
    )
    wall: Callable[[], float] = time.time
