"""`penstock pause`: nothing new starts, until `penstock resume`."""

from typing import Annotated

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Way

EXAMPLES = """Examples:

    penstock pause --reason "the provider is being moved"

    penstock pause --partition 3

    penstock pause --program qa --program summary
"""

Partitions = Annotated[
    list[int] | None,
    typer.Option("--partition", min=0, metavar="N", help="Of the questions; repeatable."),
]
Programs = Annotated[
    list[str] | None,
    typer.Option("--program", metavar="NAME", help="As the service names it; repeatable."),
]


def pause(
    partition: Partitions = None,
    program: Programs = None,
    reason: Annotated[
        str | None, typer.Option(metavar="TEXT", help="For the log, and whoever asks why.")
    ] = None,
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Let all replicas start nothing new, whether they run now or start later.

    Everything, or some partitions, or what some programs answer. What runs ends as ever; what waits
    is cancelled and runs out of time as ever. Exit code: 0 asked, 1 Kafka did not take it, 2 usage
    or configuration.
    """
    from penstock.cli import pausing

    scopes = pausing.scopes(partition, program)
    replicas = pausing.Replicas(Way(bootstrap_server, command_config, options))
    replicas.pause(scopes, reason)
    for scope in scopes:
        print(f"asked all replicas to pause {scope}")
