"""`penstock serve`: the service."""

import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Annotated, Any

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Way
from penstock.cli.log_format import LogFormat
from penstock.errors import ConfigurationError, FencedError, KafkaError

if TYPE_CHECKING:
    from penstock.app import Service
    from penstock.settings import Settings

EXAMPLES = """Examples:

    penstock serve

    penstock serve -b kafka-1:9092,kafka-2:9092 --group answers --slots 128

    penstock serve --command-config client.properties

    penstock serve --gateway
"""

GRACE = 5
"""Seconds for what is still waited for over HTTP when the service has drained."""

WRONG_SETTINGS = 2
NEEDS_OPERATOR = 4


def serve(
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
    group: Annotated[str | None, typer.Option(help="Consumer group of all replicas.")] = None,
    slots: Annotated[int | None, typer.Option(help="Questions that run at once.")] = None,
    gateway: Annotated[
        bool,
        typer.Option("--gateway", help="Serve HTTP as well, as `penstock gateway` does."),
    ] = False,
    log_format: LogFormat = None,
) -> None:
    """Answer the questions topic until SIGTERM.

    Settings come from flags, the environment (PENSTOCK_...), .env and penstock.toml, in this
    order. At SIGTERM running questions may finish (PENSTOCK_DRAIN_MS); a second signal exits at
    once. Exit code: 0 stopped by a signal, 1 failed, 2 usage or configuration, 4 an operator is
    needed.
    """
    # DSPy takes two seconds to import, and the help needs none of it.
    import uvloop

    from penstock import app, settings
    from penstock.cli import raised
    from penstock.settings.secrets import hiding
    from penstock.telemetry import logs

    kafka = Way(bootstrap_server, command_config, options).flags()
    if group is not None:
        kafka["group_id"] = group
    flags: dict[str, Any] = {"kafka": kafka}
    if slots is not None:
        flags["pool"] = {"slots": slots}
    if log_format is not None:
        flags["log_format"] = log_format
    loaded = settings.load(**flags)
    logs.configure(loaded.log_level, hide=hiding(loaded), form=loaded.log_format)
    logs.tell_what_nobody_catches()

    def started(running: "Service") -> None:
        app.log.info(
            "serving",
            kafka=loaded.kafka.bootstrap_servers,
            group=loaded.kafka.group_id,
            questions=loaded.topics.questions,
            programs={name: program.entry for name, program in loaded.programs.items()},
            models={name: model.name for name, model in loaded.all_models.items()},
            telemetry=f"http://localhost:{running.port}/metrics",
        )

    async def until_drained() -> None:
        try:
            failure = await app.serve(loaded, started, beside=_gateway(loaded) if gateway else None)
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
    uvloop.run(until_drained())


def _gateway(
    loaded: "Settings",
) -> Callable[["Service"], AbstractAsyncContextManager[None]]:
    """In this process. The service drains when it fails, for what runs is paid for."""
    from penstock import app
    from penstock.gateway.server import serving

    @asynccontextmanager
    async def beside(running: "Service") -> AsyncIterator[None]:
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
