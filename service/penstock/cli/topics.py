"""`penstock topics`: what should be there, and what is."""

from typing import Annotated

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Output, Way

topics = typer.Typer(
    help="Create the topics of the settings, show them, and look whether they are as they should "
    "be.",
    no_args_is_help=True,
)

DESCRIBE = """Examples:

    penstock topics describe

    penstock topics describe --output json | jq -r 'select(.there) | [.topic, .records] | @tsv'
"""
CHECK = """Examples:

    penstock topics check

    penstock topics check --output json | jq -r 'select(.level == "wrong").remedy'
"""
CREATE = """Examples:

    penstock topics create --partitions 24

    penstock topics create --partitions 24 --execute

    penstock topics create --alter

    PENSTOCK_TOPICS__TOKENS=penstock.tokens.2 penstock topics create --execute
"""


@topics.command("describe", epilog=DESCRIBE)
def describe(
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Show the five topics: partitions, replicas, records, and the settings that matter.

    A setting with a star was made for the topic; the others are the cluster's. Records are counted
    from the first offset to the last: what was compacted, and the markers of transactions, count
    as well. Exit code: 0, or 2 where the right Describe lacks.
    """
    # Kafka's client takes a while to import, and the help needs none of it.
    from penstock.cli import topics_run

    way = Way(bootstrap_server, command_config, options)
    raise typer.Exit(topics_run.describe(way, as_json=output == "json"))


@topics.command("check", epilog=CHECK)
def check(
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Show where the topics are not as Penstock would create them, what that matters, and what to
    do.

    A line with `-` is what is, one with `+` what should be. `wrong`: questions or answers are lost,
    or `penstock serve` does not start; `warning`: they may be, one day; `ok`: it does no harm.
    Longer retention and larger records than Penstock's are no difference. What else a service
    needs, `penstock check` looks at. Exit code: 0 nothing is wrong, 1 something is, 2 usage or
    configuration.
    """
    from penstock.cli import topics_run

    way = Way(bootstrap_server, command_config, options)
    raise typer.Exit(topics_run.check(way, as_json=output == "json"))


@topics.command("create", epilog=CREATE)
def create(
    partitions: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Of the questions; the others take their number, the control topic has one. "
            "Default: TOPICS__PARTITIONS.",
        ),
    ] = None,
    replication_factor: Annotated[
        int | None, typer.Option(min=1, help="Default: TOPICS__REPLICATION_FACTOR.")
    ] = None,
    alter: Annotated[
        bool,
        typer.Option(
            "--alter",
            help="Set the settings of topics that are there, too: those that `penstock topics "
            "check` minds, and a retention or a largest record that is the cluster's default, and "
            "less than Penstock's. Nothing is ever shortened.",
        ),
    ] = False,
    execute: Annotated[
        bool, typer.Option("--execute", help="Do it. Without, it is said what would be done.")
    ] = False,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Create the topics that are missing, whatever TOPICS__CREATE says; without --execute, say
    what would be done.

    The brokers are asked beforehand whether they would do it all, and when they refuse a part
    nothing is done. Topics that are there stay as they are, but for --alter, which changes cleanup
    policy, retention, the largest dead letter and the timestamps of the control topic, and leaves
    all else that was set on them. Partitions are never added: the order of a key would break, and
    tokens and completions are looked for in the partition with their question's number. Exit code:
    0 done, or there is nothing to do; 1 refused, 2 usage or configuration, 3 partly done.
    """
    from penstock.cli import topics_create

    way = Way(bootstrap_server, command_config, options)
    said = {"partitions": partitions, "replication_factor": replication_factor}
    flags = {name: value for name, value in said.items() if value is not None}
    code = topics_create.run(way, flags, alters=alter, execute=execute, as_json=output == "json")
    raise typer.Exit(code)
