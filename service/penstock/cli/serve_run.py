"""What does `penstock serve` run in its process, alone or as one of several workers?"""

import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import TextIOWrapper
from typing import NoReturn

import uvloop

from penstock import app
from penstock.app import Service
from penstock.cli import raised
from penstock.errors import ConfigurationError, FencedError, KafkaError
from penstock.program.hops import Loop
from penstock.settings import Settings
from penstock.workers.worker import Worker

GRACE = 5
"""Seconds for what is still waited for over HTTP when the service has drained."""

Beside = Callable[[Service], AbstractAsyncContextManager[None]]

WRONG_SETTINGS = 2
NEEDS_OPERATOR = 4


def run(loaded: Settings, worker: Worker | None, *, gateway: bool) -> NoReturn:
    """Until it has drained; then the process ends.

    Args:
        loaded: the settings.
        worker: this process as one of several; None: it is alone.
        gateway: whether it serves HTTP as well. Not of a worker.
    """
    if worker is not None:
        loaded = worker.settings(loaded)

    def started(running: Service) -> None:
        # Nobody else asks a worker.
        metrics = {"telemetry": f"http://localhost:{running.port}/metrics"}
        app.log.info(
            "serving",
            kafka=loaded.kafka.bootstrap_servers,
            group=loaded.kafka.group_id,
            questions=loaded.topics.questions,
            programs={name: program.entry for name, program in loaded.programs.items()},
            models={name: model.name for name, model in loaded.all_models.items()},
            slots=loaded.pool.slots,
            **({} if worker is not None else metrics),
        )
        if worker is not None and worker.number == 0 and loaded.workers > running.partitions:
            app.log.warning(
                "there are more workers than partitions: some will have nothing to do",
                workers=loaded.workers,
                partitions=running.partitions,
            )

    beside = _beside(loaded, worker, gateway=gateway)
    listener = None if worker is None else worker.listener

    async def until_drained() -> None:
        try:
            failure = await app.serve(loaded, started, beside=beside, listener=listener)
        except ConfigurationError as error:
            # As everywhere, but at once: a TLS connection may take its time to close.
            print(f"penstock: {raised.told(error)}", file=sys.stderr)
            code = WRONG_SETTINGS
        except KafkaError as error:
            app.log.error("stopped", reason=str(error))
            code = NEEDS_OPERATOR if isinstance(error, FencedError) else 1
        except BaseException:  # noqa: BLE001 - it is logged whole, and nothing comes after it
            app.log.exception("stopped by what nobody foresaw")
            code = 1
        else:
            code = 0 if failure is None else NEEDS_OPERATOR
        logging.shutdown()
        sys.stderr.flush()
        # All that matters is done. A thread or a task of a program may go on for minutes, and
        # Python would wait for it.
        os._exit(code)

    _leave_stdout_to_programs()
    if worker is not None:
        worker.wait_for_go()
    uvloop.run(until_drained(), loop_factory=Loop)
    raise AssertionError("it has ended before")


def _beside(loaded: Settings, worker: Worker | None, *, gateway: bool) -> Beside | None:
    if worker is not None:
        return worker.beside(loaded.drain_ms / 1000)
    return _gateway(loaded) if gateway else None


def _gateway(loaded: Settings) -> Beside:
    """In this process. The service drains when it fails, for what runs is paid for."""
    from penstock.gateway.server import serving

    @asynccontextmanager
    async def beside(running: Service) -> AsyncIterator[None]:
        async with serving(loaded, GRACE, running.registry) as gateway:
            app.log.info("gateway serving", address=gateway.address)
            gateway.failed.add_done_callback(lambda _: running.drain())
            yield
            if gateway.failed.done():
                gateway.failed.result()

    return beside


def _leave_stdout_to_programs() -> None:
    """What they print may be anything, and has to be out when we end at once."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True, errors="backslashreplace")
