"""The watchdog: one line per stall of the event loop, with who runs and where it stands."""

import asyncio
import threading
from typing import Any

import pytest

from penstock.telemetry import watchdog
from tests.support.hearing import hear

LOOK = 0.005
STALL = "the event loop does not turn"
AGAIN = "the event loop turns again"


async def test_a_stall_is_told_once_with_its_programs_and_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = hear(monkeypatch, watchdog)
    told = threading.Semaphore(0)
    heard.on_line = lambda _: told.release()

    answers: list[float] = []

    def block_until_told() -> None:
        assert told.acquire(timeout=10), "nothing was said"

    with watchdog.watching(lambda: {"greedy": 2}, LOOK, answers.append):
        for stalls in (1, 2):
            block_until_told()
            assert not told.acquire(timeout=10 * LOOK), "a stall is told once, however long"
            await heard.until(AGAIN, stalls)
            block_until_told()

    lines = heard.said(STALL)
    assert [line["programs"] for line in lines] == [{"greedy": 2}] * 2
    assert all(line["level"] == "error" for line in lines)
    assert any("block_until_told" in place for place in lines[0]["stack"])
    assert any("test_watchdog.py" in place for place in lines[0]["stack"])
    assert len(heard.said(AGAIN)) == 2
    assert sum(late > (watchdog.PATIENCE - 1) * LOOK for late in answers) == 2


async def test_a_loop_that_turns_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = hear(monkeypatch, watchdog)
    asked = threading.Semaphore(0)
    loop = asyncio.get_running_loop()
    call_soon = loop.call_soon_threadsafe

    def counted(*args: Any, **named: Any) -> Any:
        asked.release()
        return call_soon(*args, **named)

    monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
    with watchdog.watching(dict, LOOK):
        for _ in range(3 * watchdog.PATIENCE):
            while not asked.acquire(blocking=False):  # noqa: ASYNC110 - the loop has to turn meanwhile
                await asyncio.sleep(LOOK / 5)

    assert not heard.lines


async def test_it_ends_with_what_it_watches() -> None:
    with watchdog.watching(dict, look=3600.0):
        assert "penstock-watchdog" in {thread.name for thread in threading.enumerate()}
    assert "penstock-watchdog" not in {thread.name for thread in threading.enumerate()}
