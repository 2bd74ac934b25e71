"""Does the event loop turn? A thread asks it, and says once per stall who holds it up."""

import asyncio
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import structlog

LOOK = 1.0
"""Seconds between two looks."""

PATIENCE = 4
"""Looks in a row without an answer, after which it is a stall. Looks and not seconds: who is frozen
together with the loop does not blame it."""

FRAMES = 30

log = structlog.get_logger("penstock")


@contextmanager
def watching(
    running: Callable[[], Mapping[str, int]],
    look: float = LOOK,
    late: Callable[[float], None] = lambda _: None,
) -> Iterator[None]:
    """Watches the running loop until the context ends; it is woken once per look.

    Args:
        running: how many questions by program. Called from a thread.
        look: seconds between two looks.
        late: is told at each look how many seconds the loop took to answer.
    """
    loop, watched = asyncio.get_running_loop(), threading.get_ident()
    ended, answered = threading.Event(), threading.Event()

    def answer(asked_at: float) -> None:
        answered.set()
        late(loop.time() - asked_at)

    def ask() -> None:
        loop.call_soon_threadsafe(answer, loop.time())

    def watch() -> None:
        unanswered = 0
        ask()
        while not ended.wait(look):
            if answered.is_set():
                if unanswered >= PATIENCE:
                    log.warning("the event loop turns again", seconds=round(unanswered * look, 1))
                unanswered = 0
                answered.clear()
                ask()
                continue
            unanswered += 1
            if unanswered == PATIENCE:
                _tell(watched, running(), unanswered * look)

    thread = threading.Thread(target=watch, name="penstock-watchdog", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _tell(watched: int, running: Mapping[str, int], seconds: float) -> None:
    frame = sys._current_frames().get(watched)  # noqa: SLF001 - it has no other name
    stack = traceback.extract_stack(frame)[-FRAMES:]
    log.error(
        "the event loop does not turn: something in it does not await",
        seconds=round(seconds, 1),
        programs=dict(running),
        # Places and names: no value, and so no text of a question.
        stack=[f"{place.filename}:{place.lineno} {place.name}" for place in stack],
    )
