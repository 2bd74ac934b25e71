"""How does a program that does not await run beside the loop, and end with its question?

A thread cannot be cancelled. It ends by itself at the next thing it asks of us: every chunk and
every model call passes through here, and raises `Stopped` once the question is given up.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import aclosing, suppress
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

import dspy

from penstock.errors import NotAwaitedError

AHEAD = 16
"""Events of a model that a thread has not taken yet, at which reading the model waits."""

SETTING = "penstock_threads"
"""Of DSPy's context, which DSPy carries into every thread it makes itself."""

T = TypeVar("T")


class Stopped(BaseException):
    """The program is to end now.

    No `Exception`: programs and modules such as `dspy.BestOfN` catch those, and would go on asking.
    """


class Threads:
    """The threads of one question: of its program, or of its tools. Belongs to one event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._running: dict[asyncio.Future[None], Future[Any]] = {}
        self._here: set[int] = set()
        self._calls: dict[asyncio.Task[Any], bool] = {}
        """What is being asked, and whether by a thread of ours, which waits for it."""
        self._given_up = False
        self._took: list[float] = []

    @property
    def took(self) -> float:
        """Seconds, of those that have ended."""
        return sum(self._took)

    async def run(self, function: Callable[..., T], **arguments: Any) -> T:
        """What it returns, called in one of as many threads as there are slots.

        Cancelling this does not end the thread; `give_up` does.
        """
        outcome: Future[T] = Future()

        def begin() -> None:
            if not outcome.set_running_or_notify_cancel():
                return
            self._here.add(threading.get_ident())
            since = self._loop.time()
            try:
                outcome.set_result(function(**arguments))
            except BaseException as error:  # noqa: BLE001 - it is raised again where it is awaited
                outcome.set_exception(error)
            finally:
                self._here.discard(threading.get_ident())
                self._took.append(self._loop.time() - since)

        thread = asyncio.ensure_future(dspy.asyncify(begin)())
        self._running[thread] = outcome
        thread.add_done_callback(self._running.pop)
        await asyncio.shield(thread)
        return outcome.result()

    def close(self) -> None:
        """Nothing more is asked: what is being asked ends, and what asks next is stopped."""
        self._given_up = True
        for call in self._calls:
            call.cancel()
        for thread, outcome in list(self._running.items()):
            if outcome.cancel():
                # It waits for others to end, and has not begun.
                thread.cancel()

    async def give_up(self) -> None:
        """Returns when all threads have ended, however often it is cancelled: until then whoever
        counts the slots has to count this one.
        """
        self.close()
        while self._running:
            with suppress(asyncio.CancelledError):
                await asyncio.wait(self._running)

    @property
    def waiting(self) -> int:
        """How many of them wait for the loop, and do nothing else."""
        return sum(self._calls.values())

    # --- from any thread ----------------------------------------------------------------------

    def check(self) -> None:
        """Raises `Stopped` once the question is given up."""
        if self._given_up:
            raise Stopped("the question has ended")

    def on_the_loop(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    def foreign(self) -> bool:
        """Whether the program has made this thread by itself, as `dspy.Parallel` does."""
        return threading.get_ident() not in self._here and not self.on_the_loop()

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """What the coroutine returns, run on the loop."""
        return self._result(self._submit(coroutine))

    def stream(self, events: AsyncGenerator[T, None]) -> Iterator[T]:
        """The same events, read on the loop, by one task from the first to the last."""
        said: SimpleQueue[Any] = SimpleQueue()
        room = asyncio.Semaphore(AHEAD)
        end = object()

        async def read() -> None:
            async with aclosing(events):
                async for event in events:
                    await room.acquire()
                    said.put(event)

        reading = self._submit(read())
        reading.add_done_callback(lambda _: said.put(end))
        try:
            while (event := said.get()) is not end:
                yield event
                self._loop.call_soon_threadsafe(room.release)
            self._result(reading)
        finally:
            reading.cancel()

    def _submit(self, coroutine: Coroutine[Any, Any, T]) -> "Future[T]":
        if self.on_the_loop():
            coroutine.close()
            raise NotAwaitedError(
                "the program asks a model without `await` in its `aforward`: write "
                "`await predictor.acall(...)`, or a `forward` alone, which runs in a thread"
            )
        asked = self._until_closed(coroutine, waited_for=not self.foreign())
        return asyncio.run_coroutine_threadsafe(asked, self._loop)

    async def _until_closed(self, coroutine: Coroutine[Any, Any, T], *, waited_for: bool) -> T:
        task = asyncio.current_task()
        assert task is not None
        if self._given_up:
            coroutine.close()
            self.check()
        self._calls[task] = waited_for
        try:
            return await coroutine
        finally:
            del self._calls[task]

    def _result(self, future: "Future[T]") -> T:
        try:
            return future.result()
        except CancelledError:
            self.check()
            raise


class AsyncEngine(Protocol):
    """As DSPy defines it."""

    async def complete(self, request: Any) -> Any: ...
    def stream(self, request: Any) -> AsyncGenerator[Any, None]: ...


class ThreadEngine:
    """DSPy's sync engine: what a thread asks is asked on the loop, by the engine of the others.

    So there is one pool of connections, and giving up a question closes its connection.
    """

    def __init__(self, engine: AsyncEngine, known: Any) -> None:
        """`known`: what DSPy knows of the model, and looks for here where it is given an engine."""
        self.supports_function_calling = known.function_calling
        self.supports_reasoning = known.reasoning
        self.supports_response_schema = known.response_schema
        self.supported_params = known.params
        self._engine = engine

    def complete(self, request: Any) -> Any:
        return of_this_question().call(self._engine.complete(request))

    def stream(self, request: Any) -> Iterator[Any]:
        yield from of_this_question().stream(self._engine.stream(request))

    def close(self) -> None:
        """There is nothing to close."""


def of_this_question() -> Threads:
    """From wherever DSPy's context has come with us."""
    threads: Threads = dspy.settings[SETTING]
    return threads
