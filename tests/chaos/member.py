"""`penstock serve`, which kills itself where it is told to: `python -m tests.chaos.member`.

With `PENSTOCK_TEST_FAULT=completion-sent:40` it dies by SIGKILL when it has come to that point for
the fortieth time. The product knows nothing of it: its functions are wrapped here, from outside.

It writes under the name in `PENSTOCK_TEST_MEMBER`, not under a random one, so that what stands in a
topic tells who has written it.

It says on stdout what it reads from the control topic, and when: `{"control": key, "at": ...}`, in
seconds of the machine's monotonic clock.

Its session timeout is the shortest that brokers allow (`group.min.session.timeout.ms`: 6 s), not
the product's 10 s: that long a group waits for a member that has died, and every test with it.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.conn import AIOKafkaConnection
from aiokafka.protocol.commit import OffsetCommitRequest
from aiokafka.protocol.produce import ProduceRequest

from penstock import app, assembly, cli
from penstock.job import Job
from penstock.kafka import source
from penstock.kafka.control import Control
from penstock.kafka.recovery import Recovery
from penstock.kafka.sink import KafkaSink
from penstock.kafka.source import KafkaSource

FAULT = "PENSTOCK_TEST_FAULT"
NAME = "PENSTOCK_TEST_MEMBER"
SESSION_TIMEOUT_MS = 6_000

CONTROL = '{"control":'
"""How a line begins that says what was read."""

Reached = Callable[[], None]


class Fault:
    """Death, at the so manieth time."""

    def __init__(self, times: int) -> None:
        self._left = times

    def reached(self) -> None:
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def _before(owner: type, name: str) -> Callable[[Reached], None]:
    def wrap(reached: Reached) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **more: Any) -> Any:
            reached()
            return original(*arguments, **more)

        setattr(owner, name, wrapped)

    return wrap


def _after(owner: type, name: str) -> Callable[[Reached], None]:
    """Of a coroutine function, when it has returned and before whoever awaits it knows."""

    def wrap(reached: Reached) -> None:
        original: Callable[..., Awaitable[Any]] = getattr(owner, name)

        async def wrapped(*arguments: Any, **more: Any) -> Any:
            result = await original(*arguments, **more)
            reached()
            return result

        setattr(owner, name, wrapped)

    return wrap


def _sent(kind: type, matches: Callable[[Any], bool]) -> Callable[[Reached], None]:
    """A request is on its way, and its answer is not here."""

    def wrap(reached: Reached) -> None:
        send = AIOKafkaConnection.send

        def wrapped(connection: Any, request: Any, expect_response: bool = True) -> Any:
            answer = send(connection, request, expect_response)
            if isinstance(request, kind) and matches(request):
                loop = asyncio.get_running_loop()
                # uvloop writes at the end of a turn: not in this one, nor before the next.
                loop.call_soon(loop.call_soon, reached)
            return answer

        AIOKafkaConnection.send = wrapped

    return wrap


def _holds_completions(request: ProduceRequest) -> bool:
    topic = os.environ["PENSTOCK_TOPICS__COMPLETIONS"]
    return any(name == topic for name, _ in request._topics)


POINTS: dict[str, Callable[[Reached], None]] = {
    "completion-sent": _sent(ProduceRequest, _holds_completions),
    "completion-acknowledged": _after(KafkaSink, "completion"),
    "commit-sent": _sent(OffsetCommitRequest, lambda _: True),
    "commit-acknowledged": _after(KafkaSource, "commit"),
    "recovery-begun": _before(Recovery, "recover"),
    "recovery-read": _after(Recovery, "recover"),
    # Partitions are resumed when their opening commit is acknowledged; nothing has started.
    "opening-committed": _before(KafkaSource, "resume"),
    "dead-letter-acknowledged": _after(KafkaSink, "dead_letter"),
    "end-acknowledged": _after(Job, "_end_token_stream"),
}


def _tells_what_is_asked() -> None:
    read = Control._read

    def told(control: Control, record: ConsumerRecord) -> None:
        at = time.monotonic()
        print(json.dumps({"control": record.key.decode(), "at": at}), flush=True)
        read(control, record)

    setattr(Control, "_read", told)  # noqa: B010 # mypy will not have it otherwise


def main() -> None:
    name = os.environ[NAME]
    _tells_what_is_asked()
    vars(source).update(SESSION_TIMEOUT_MS=SESSION_TIMEOUT_MS)
    vars(assembly).update(SESSION_TIMEOUT_MS=SESSION_TIMEOUT_MS)
    vars(app).update(uuid4=lambda: SimpleNamespace(hex=name))
    if wanted := os.environ.get(FAULT):
        point, _, times = wanted.partition(":")
        POINTS[point](Fault(int(times)).reached)
    sys.argv = ["penstock", "serve"]
    cli.main()


if __name__ == "__main__":
    main()
