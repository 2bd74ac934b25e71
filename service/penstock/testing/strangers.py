"""Does a thread work that nobody has told us of? One of a pool of the program's own, say.

A thread that waits for another, for the loop or for something to do, does not work.
"""

import concurrent.futures.thread
import sys
import threading
from types import FrameType

from penstock.program.threads import Threads

_WAIT = {
    concurrent.futures.thread._worker.__code__,  # noqa: SLF001
    threading.Condition.wait.__code__,
    Threads.stream.__code__,
}
"""Where a thread is, at the innermost, while it waits: for its work, for whatever the standard
library waits for, or for the model."""


class Strangers:
    """All threads but this one and those that were at work before, such as a debugger's."""

    def __init__(self) -> None:
        self._own = threading.get_ident()
        self._before = {ident for ident, frame in _frames().items() if _works(frame)}

    def __bool__(self) -> bool:
        return bool(self._here())

    def work(self) -> bool:
        return any(map(_works, self._here().values()))

    def _here(self) -> dict[int, FrameType]:
        known = self._before | {self._own}
        return {ident: frame for ident, frame in _frames().items() if ident not in known}


def _frames() -> dict[int, FrameType]:
    return sys._current_frames()  # noqa: SLF001 - its name alone is private: it is documented


def _works(frame: FrameType) -> bool:
    return frame.f_code not in _WAIT
