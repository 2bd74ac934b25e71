"""`penstock serve`: the service."""

import sys
from typing import Annotated, Any

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Way
from penstock.cli.log_format import LogFormat
from penstock.errors import ConfigurationError

EXAMPLES = """Examples:

    penstock serve

    penstock serve -b kafka-1:9092,kafka-2:9092 --group answers --slots 128

    penstock serve --command-config client.properties

    penstock serve --workers 8

    penstock serve --gateway
"""


def serve(
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
    group: Annotated[str | None, typer.Option(help="Consumer group of all replicas.")] = None,
    slots: Annotated[
        int | None, typer.Option(help="Questions that run at once, in each worker.")
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            help="Processes, for a machine with many cores: each a member of the group, with "
            "slots of its own. Metrics and probes are those of all, on one port."
        ),
    ] = None,
    gateway: Annotated[
        bool,
        typer.Option("--gateway", help="Serve HTTP as well, as `penstock gateway` does."),
    ] = False,
    log_format: LogFormat = None,
    worker: Annotated[str | None, typer.Option(hidden=True)] = None,
) -> None:
    """Answer the questions topic until SIGTERM.

    Settings come from flags, the environment (PENSTOCK_...), .env and penstock.toml, in this
    order. At SIGTERM running questions may finish (PENSTOCK_DRAIN_MS); a second signal exits at
    once. Exit code: 0 stopped by a signal, 1 failed, 2 usage or configuration, 4 an operator is
    needed.
    """
    from penstock import settings
    from penstock.settings.secrets import hiding
    from penstock.telemetry import logs

    kafka = Way(bootstrap_server, command_config, options).flags()
    if group is not None:
        kafka["group_id"] = group
    flags: dict[str, Any] = {"kafka": kafka}
    if slots is not None:
        flags["pool"] = {"slots": slots}
    if workers is not None:
        flags["workers"] = workers
    if log_format is not None:
        flags["log_format"] = log_format
    loaded = settings.load(**flags)
    if loaded.workers > 1 and gateway:
        raise ConfigurationError(
            "setting WORKERS: --gateway serves HTTP in the one process of a service; with several, "
            "leave it out and start `penstock gateway` beside them"
        )
    level, form, hide = loaded.log_level, loaded.log_format, hiding(loaded)
    logs.tell_what_nobody_catches()
    if loaded.workers > 1 and worker is None:
        from penstock.workers.supervisor import supervise

        logs.configure(level, hide=hide, form=form)
        raise typer.Exit(supervise(loaded, sys.argv[1:]))
    # DSPy takes two seconds to import, and neither the help nor a supervisor needs it.
    from penstock.cli import serve_run
    from penstock.workers.place import place
    from penstock.workers.worker import Worker

    if worker is None:
        logs.configure(level, hide=hide, form=form)
        serve_run.run(loaded, None, gateway=gateway)
    one = Worker(place(worker))
    logs.configure(level, hide=hide, form=form, terminal=one.terminal, worker=one.number)
    serve_run.run(loaded, one, gateway=False)
