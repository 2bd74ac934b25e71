"""What every test may use: async tests, and a Kafka."""

import asyncio
import inspect
import os
import signal

import pytest
import structlog
import uvloop

from tests.support.kafka import (
    add_option,
    bootstrap_servers,
    kafka_admin,
    session_loop,
    topics,
)

# pytest finds fixtures by their names in this module.
__all__ = ["bootstrap_servers", "kafka_admin", "session_loop", "topics"]

TIME_LIMIT_SECONDS = 60


def pytest_addoption(parser: pytest.Parser) -> None:
    add_option(parser)
    parser.addoption(
        "--loop",
        choices=("asyncio", "uvloop"),
        default="asyncio",
        help="the event loop of async tests",
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As a shell starts what it runs in the background; the commands we interrupt inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # Images set it often. Each of the hundreds of processes that we start would compile DSPy anew,
    # which takes as long as to import it.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    # In colours and with the value of everything, a traceback takes longer than most tests.
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])
    config.addinivalue_line(
        "markers", f"time_limit(seconds): of an async test, instead of {TIME_LIMIT_SECONDS} s"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Runs a coroutine function on a loop of its own, for a limited time."""
    test = pyfuncitem.obj
    if not inspect.iscoroutinefunction(test):
        return None
    marker = pyfuncitem.get_closest_marker("time_limit")
    seconds = marker.args[0] if marker is not None else TIME_LIMIT_SECONDS
    arguments = {name: pyfuncitem.funcargs[name] for name in inspect.signature(test).parameters}

    async def limited() -> None:
        async with asyncio.timeout(seconds):
            await test(**arguments)

    chosen = pyfuncitem.config.getoption("--loop")
    factory = uvloop.new_event_loop if chosen == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(limited())
    return True
