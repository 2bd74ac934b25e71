"""Is anybody left to wait who looked before the log grew?"""

import asyncio

from penstock.clock import Clock
from penstock.testing.log import SimulatedLog


async def test_what_comes_before_a_waiting_task_has_begun_wakes_it() -> None:
    log = SimulatedLog(Clock())
    waiting = asyncio.ensure_future(log.stirred())

    log.append("topic", 0, None, b"first")
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    woken = waiting.done()
    waiting.cancel()
    assert woken
