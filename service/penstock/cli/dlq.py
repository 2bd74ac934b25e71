"""`penstock dlq`: what could not be answered, why, and once more."""

from typing import Annotated

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Output, Way
from penstock.cli.ranges import (
    ByDuration,
    FromDatetime,
    Meant,
    Offset,
    Partitions,
    ToDatetime,
)
from penstock.events.again import MOST

LS = """Examples:

    penstock dlq ls

    penstock dlq ls --where kind=UPSTREAM --by-duration 1h

    penstock dlq ls --limit 1000 --output json | jq -r .code | sort | uniq -c
"""
SHOW = """Examples:

    penstock dlq show 2/117

    penstock dlq show 2/117 --raw | jq .question
"""
STATS = """Examples:

    penstock dlq stats

    penstock dlq stats --by-duration 1d --where program=qa
"""
REDRIVE = """Examples:

    penstock dlq redrive --where kind=UPSTREAM

    penstock dlq redrive --where kind=UPSTREAM --rate 20 --execute

    penstock dlq redrive --where code=unknown_program --edit '{"program": "qa"}' --execute
"""
PURGE = """Examples:

    penstock dlq purge --before @-7d

    penstock dlq purge --before end --partition 2 --execute
"""

dlq = typer.Typer(
    help="Dead letters: list them, show one, count their causes, ask them again, delete them.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="FIELD=VALUE",
        help="Only these: kind, code, stage, program, group, id, key, redrives, metadata.NAME; "
        "repeatable, and all must hold.",
    ),
]
Execute = Annotated[bool, typer.Option("--execute", help="Do it; without, say what would be done.")]


@dlq.command("ls", epilog=LS)
def ls(
    where: Where = None,
    offset: Offset = None,
    partition: Partitions = None,
    from_datetime: FromDatetime = None,
    to_datetime: ToDatetime = None,
    by_duration: ByDuration = None,
    limit: Annotated[int, typer.Option(min=1, help="So many at most, the last ones.")] = 100,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """List dead letters, the newest last.

    On a terminal a line is no wider than it: first the message gives way, then the id. JSON has all
    that is known of each, with headers, key and value. Exit code: 0, 1 Kafka failed on the way, 2
    usage or configuration, or no Kafka answers.
    """
    from penstock.cli import dlq_ls

    meant = Meant(offset, partition, from_datetime, to_datetime, by_duration)
    dlq_ls.run(Way(bootstrap_server, command_config, options), meant, where or [], limit, output)


@dlq.command("show", epilog=SHOW)
def show(
    place: Annotated[
        str, typer.Argument(metavar="PARTITION/OFFSET", help="Where it stands, as `ls` says.")
    ],
    hexdump: Annotated[bool, typer.Option("--hex", help="The value as a hexdump.")] = False,
    raw: Annotated[bool, typer.Option("--raw", help="The value alone, byte for byte.")] = False,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Show one dead letter: its headers, its key and its value.

    What is UTF-8 and can be printed is text, the rest a hexdump. Exit code: 0, 1 Kafka failed,
    2 there is no such dead letter (any more), or usage or configuration.
    """
    from penstock.cli import dlq_show

    form: dlq_show.Form = "raw" if raw else "hex" if hexdump else "text"
    dlq_show.run(Way(bootstrap_server, command_config, options), place, form, output)


@dlq.command("stats", epilog=STATS)
def stats(
    where: Where = None,
    offset: Offset = None,
    partition: Partitions = None,
    from_datetime: FromDatetime = None,
    to_datetime: ToDatetime = None,
    by_duration: ByDuration = None,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Count dead letters by cause, and by the hour, or by the day where they span more than two.

    Hours and days are UTC's. JSON is one object for each cause. Exit code: 0, 1 Kafka failed,
    2 usage or configuration.
    """
    from penstock.cli import dlq_stats

    meant = Meant(offset, partition, from_datetime, to_datetime, by_duration)
    dlq_stats.run(Way(bootstrap_server, command_config, options), meant, where or [], output)


@dlq.command("redrive", epilog=REDRIVE)
def redrive(
    where: Where = None,
    offset: Offset = None,
    partition: Partitions = None,
    from_datetime: FromDatetime = None,
    to_datetime: ToDatetime = None,
    by_duration: ByDuration = None,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, help="Questions a second at most. [default: no limit]"),
    ] = None,
    max_redrives: Annotated[
        int, typer.Option(min=1, help="What was redriven so often already stays.")
    ] = MOST,
    edit: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|JSON", help="A JSON merge patch (RFC 7396) for the value of each."
        ),
    ] = None,
    id_: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="NAME",
            help="The same dead letter never goes twice by the same one. [default: made of what "
            "selects]",
        ),
    ] = None,
    execute: Execute = False,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Put dead letters back to the questions, each to the partition it came from.

    Key, value and headers are those that were asked, and two headers say that it is asked again.
    They stay in the dead letters. The same command again goes on where it was, and takes what has
    come since; a second one at the same time ends the first. Without --execute nothing is written.

    Exit code: 0 done, 1 failed, 2 usage or configuration, 3 some or all of them were refused,
    130 stopped by Ctrl-C or SIGTERM.
    """
    from penstock.cli import dlq_redrive

    asked = dlq_redrive.Asked(
        Meant(offset, partition, from_datetime, to_datetime, by_duration),
        where or [],
        rate,
        max_redrives,
        edit,
        id_,
    )
    way = Way(bootstrap_server, command_config, options)
    raise typer.Exit(dlq_redrive.run(way, asked, output, execute=execute))


@dlq.command("purge", epilog=PURGE)
def purge(
    before: Annotated[
        str,
        typer.Option(
            metavar="OFFSET",
            help="Up to there, and without it: an offset (42), all but the last so many (-42), a "
            "time (@2026-11-27T15:00:00Z, @-7d), or end.",
        ),
    ],
    partition: Partitions = None,
    execute: Execute = False,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Delete dead letters for good, from the first one of a partition on.

    Kafka deletes nothing out of the middle. Without --execute nothing is deleted. Exit code:
    0 done, 1 failed, 2 usage or configuration, 3 of some partitions only.
    """
    from penstock.cli import dlq_purge

    way = Way(bootstrap_server, command_config, options)
    code = dlq_purge.run(way, before, partition or [], output, execute=execute)
    raise typer.Exit(code)
