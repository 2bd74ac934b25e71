"""`penstock tail`: what stands on a topic, and what comes."""

from typing import Annotated

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Output, Way
from penstock.cli.ranges import ByDuration, FromDatetime, Meant, Offset, Partitions, ToDatetime
from penstock.errors import ConfigurationError

EXAMPLES = r"""Examples:

    penstock tail --follow

    penstock tail tokens --id b0a6f3c2 --follow

    penstock tail dead-letters -o @-1h -f '%p/%o %k %h\n'

    penstock tail questions -p 3 -o 42 -c 1 -J | jq -r .payload
"""


def tail(
    topic: Annotated[
        str,
        typer.Argument(
            metavar="TOPIC",
            help="questions, tokens, completions, dead-letters or control, by the settings; or "
            "the name of any topic.",
        ),
    ] = "completions",
    offset: Offset = None,
    partition: Partitions = None,
    from_datetime: FromDatetime = None,
    to_datetime: ToDatetime = None,
    by_duration: ByDuration = None,
    question_id: Annotated[
        str | None,
        typer.Option(
            "--id",
            metavar="ID",
            help="Only what is about this question: its id, or topic/partition/offset, for which "
            "one partition is read. Of tokens: their text, as it was said.",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", "-c", min=1, help="End after so many records.")
    ] = None,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow/--exit",
            " /-e",
            help="Go on with what comes, of --id until the question ends; or end at the end.",
        ),
    ] = False,
    format_: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            metavar="FORMAT",
            help=r"As kcat's: %s value, %k key, %h headers, %S %K lengths, %R %S in 4 bytes, "
            r"%T time in ms, %t topic, %p partition, %o offset; \n \r \t \xNN.",
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", "-J", help="kcat's envelope, as --output json.")
    ] = False,
    null: Annotated[
        bool, typer.Option("-Z", help="Print NULL for a key or a value that is not there.")
    ] = False,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Print the records of a topic: the last 10, or the range asked for.

    On a terminal a line for each; elsewhere its value and a newline, to the byte. It reads without
    a group and sees what is committed. Within a partition records come in order.

    Exit code: 0 done, 1 it cannot be read (any more), or nothing is about the question of --id, 2
    what is asked for is not there, 130 interrupted.
    """
    as_json = as_json or output == "json"
    if format_ is not None and as_json:
        raise ConfigurationError("give one of --format and --json")
    if question_id == "":
        raise ConfigurationError("--id: is empty")
    # Kafka's client takes a while to import, and the help needs none of it.
    from penstock.cli import tail_run

    meant = Meant(offset, partition, from_datetime, to_datetime, by_duration)
    way = Way(bootstrap_server, command_config, options)
    asked = tail_run.Asked(topic, meant, question_id, count, follow, format_, null, as_json)
    raise typer.Exit(tail_run.run(way, asked))
