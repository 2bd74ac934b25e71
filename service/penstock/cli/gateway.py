"""`penstock gateway`: HTTP in front of the topics."""

from typing import Annotated, Any

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Way
from penstock.cli.log_format import LogFormat

EXAMPLES = """Examples:

    penstock gateway

    penstock gateway -b kafka-1:9092 --port 8000

    curl -s localhost:8080/predict --json '{"question": "Why is the sky blue?"}'
"""


def gateway(
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
    host: Annotated[
        str | None, typer.Option(help="Where to listen. Default: this machine alone.")
    ] = None,
    port: Annotated[int | None, typer.Option(help="0: a free one. Default: 8080.")] = None,
    log_format: LogFormat = None,
) -> None:
    """Serve HTTP, SSE, WebSocket and the console in front of the topics, until SIGTERM.

    Questions go to Kafka, and what is said of them comes back from there: `penstock serve` must be
    running somewhere. It holds no answer of its own: any number of replicas serve the same. At
    SIGTERM who waits for an answer may wait for it (PENSTOCK_DRAIN_MS); a second signal exits at
    once. Exit code: 0 stopped by a signal, 1 failed, 2 usage or configuration.
    """
    import asyncio
    import signal

    import structlog
    import uvloop

    from penstock import settings
    from penstock.gateway.beside import beside
    from penstock.gateway.server import serving
    from penstock.settings.secrets import hiding
    from penstock.telemetry import logs
    from penstock.telemetry.tracing.switch import while_it_runs

    ours: dict[str, Any] = {"host": host, "port": port}
    loaded = settings.load(
        kafka=Way(bootstrap_server, command_config, options).flags(),
        gateway={name: value for name, value in ours.items() if value is not None},
        **({} if log_format is None else {"log_format": log_format}),
    )
    logs.configure(loaded.log_level, hide=hiding(loaded), form=loaded.log_format)
    logs.tell_what_nobody_catches()
    log = structlog.get_logger("penstock.gateway")

    async def until_stopped() -> None:
        loop = asyncio.get_running_loop()
        telemetry = loaded.gateway.telemetry_port
        async with (
            beside(telemetry) as told,
            serving(loaded, registry=told.registry) as running,
        ):
            told.parts = running.parts

            def signalled() -> None:
                if running.parts.stopping.done():
                    log.warning("stopped at once; who still waits is told so")
                    running.end()
                else:
                    log.info("stopping: who waits for an answer may wait for it")
                    running.stop()

            for number in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(number, signalled)
            metrics = None if told.port is None else f"http://localhost:{told.port}/metrics"
            log.info("serving", address=running.address, telemetry=metrics)
            await running.stopped()
        log.info("stopped")

    with while_it_runs("penstock-gateway"):
        uvloop.run(until_stopped())
