"""`penstock status`: how does the group stand?"""

from typing import Annotated

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Output, Way

EXAMPLES = """Examples:

    penstock status

    penstock status --watch

    penstock status --group answers --output json | jq '.totals.backlog'
"""


def status(
    group: Annotated[
        str | None, typer.Option(help="Consumer group. Default: that of the settings.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Look again every 2 s, until Ctrl-C.")
    ] = False,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Show the group as its operator wants it: members, partitions, lag, and what waits in truth.

    Members are those of Kafka's group, with what each reports of itself on the control topic every
    5 s; one that has not for 15 s is `silent`. The backlog is the lag less what is done beyond the
    commit. Dead letters are counted by offsets, of all groups that share the topic: so many at
    most. No group is joined, and nothing is written. Exit code: 0 it was seen, 1 Kafka failed
    on the way, 2 there is no Kafka, no such group or topic, or a right lacks, 130 at Ctrl-C.
    """
    # Kafka's client takes a while to import, and the help needs none of it.
    from penstock.cli import status_run

    way = Way(bootstrap_server, command_config, options)
    status_run.run(way, group, watch=watch, as_json=output == "json")
