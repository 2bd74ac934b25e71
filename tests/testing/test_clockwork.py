"""Time that passes when there is nothing to do, and not when somebody is at work."""

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import dspy
import pytest

from penstock.clock import Clock
from penstock.testing.clockwork import MOMENT, Clockwork

A_YEAR = 365 * 86_400.0
PATIENCE_S = 20


@pytest.fixture(autouse=True)
def no_real_year() -> Iterator[None]:
    def over(*_: Any) -> None:
        raise AssertionError("it takes as long as it says")

    before = signal.signal(signal.SIGALRM, over)
    signal.alarm(PATIENCE_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def loop() -> Iterator[Clockwork]:
    made = Clockwork()
    yield made
    made.run_until_complete(made.shutdown_default_executor())
    made.close()


def test_a_year_is_over_at_once(loop: Clockwork) -> None:
    wall = loop.clock.wall()
    loop.run_until_complete(asyncio.sleep(A_YEAR))
    assert loop.clock.monotonic() == pytest.approx(A_YEAR)
    assert loop.clock.wall() - wall == pytest.approx(A_YEAR)


def test_what_is_due_earlier_is_earlier(loop: Clockwork) -> None:
    story: list[tuple[str, float]] = []

    async def tell(name: str, after: float) -> None:
        await asyncio.sleep(after)
        story.append((name, loop.time()))

    async def all_of_them() -> None:
        await asyncio.gather(tell("last", 30), tell("first", 10), tell("second", 20))

    loop.run_until_complete(all_of_them())
    assert story == [("first", 10), ("second", 20), ("last", 30)]


def test_what_is_on_its_way_arrives_before_time_passes(loop: Clockwork) -> None:
    async def told() -> float:
        near, far = loop.pair()
        with near, far:
            # More than a socket holds: writer and reader take turns.
            sending = asyncio.create_task(loop.sock_sendall(near, b"x" * 3_000_000))
            left = 3_000_000
            async with asyncio.timeout(1):
                while left:
                    left -= len(await loop.sock_recv(far, 65_536))
            await sending
            return loop.time()

    assert loop.run_until_complete(told()) == 0.0


@pytest.mark.parametrize("takes", [MOMENT / 10, 2 * MOMENT])
@pytest.mark.parametrize("how", ["executor", "dspy"])
def test_a_thread_at_work_does_not_run_out_of_time(loop: Clockwork, how: str, takes: float) -> None:
    may_end = threading.Event()

    async def works() -> Any:
        # Ended by a real clock; by then a simulated one would be years ahead.
        threading.Timer(takes, may_end.set).start()
        async with asyncio.timeout(60):
            if how == "executor":
                return await asyncio.to_thread(may_end.wait)
            return await dspy.asyncify(may_end.wait)()

    assert loop.run_until_complete(works())
    assert loop.now < 60
    assert (loop.now > 0) == (takes > MOMENT)


@pytest.mark.parametrize("takes", [0.0, 2 * MOMENT])
def test_nor_does_one_that_nobody_has_told_of(loop: Clockwork, takes: float) -> None:
    may_end = threading.Lock()
    may_end.acquire()
    pool = ThreadPoolExecutor(1)

    async def works() -> bool:
        threading.Timer(takes, may_end.release).start()
        async with asyncio.timeout(60):
            return await asyncio.wrap_future(pool.submit(may_end.acquire))

    with pool:
        assert loop.run_until_complete(works())
        assert loop.now < 60
        # It waits for more to do.
        loop.run_until_complete(asyncio.sleep(600))
    assert loop.now >= 600


def test_a_thread_that_waits_for_the_loop_does_not_work(loop: Clockwork) -> None:
    async def asked() -> None:
        threads = loop.threads()
        await threads.run(lambda: threads.call(asyncio.sleep(A_YEAR)))

    loop.run_until_complete(asked())
    assert loop.now == pytest.approx(A_YEAR, abs=60)


def test_a_thread_works_although_one_that_it_has_made_waits(loop: Clockwork) -> None:
    async def works() -> None:
        threads, may_end = loop.threads(), threading.Event()

        def program() -> None:
            # As `dspy.Parallel` does.
            asks = threading.Thread(target=lambda: threads.call(asyncio.sleep(1)))
            asks.start()
            threading.Timer(2 * MOMENT, may_end.set).start()
            may_end.wait()
            story.append(loop.now)
            asks.join()

        await threads.run(program)

    story: list[float] = []
    loop.run_until_complete(works())
    assert story[0] < 1 <= loop.now


def test_who_waits_for_the_world_waits_as_long_as_it_takes(loop: Clockwork) -> None:
    near, far = socket.socketpair()
    near.setblocking(False)

    async def heard() -> bytes:
        threading.Timer(2 * MOMENT, far.send, [b"!"]).start()
        async with asyncio.timeout(60):
            return await loop.sock_recv(near, 1)

    with near, far:
        assert loop.run_until_complete(heard()) == b"!"
    assert 0 < loop.now < 60


def test_then_time_passes_as_it_does_for_everyone(loop: Clockwork) -> None:
    near, far = socket.socketpair()
    began = Clock().monotonic()
    with near, far:
        loop.add_reader(near, lambda: None)
        loop.run_until_complete(asyncio.sleep(0.05))
        loop.remove_reader(near)
    assert Clock().monotonic() - began >= 0.05
    assert loop.now == pytest.approx(0.05)
