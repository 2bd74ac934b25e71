"""`penstock export`: what was asked and answered, as a dataset."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Way
from penstock.cli.ranges import (
    ByDuration,
    FromDatetime,
    Meant,
    Offset,
    Partitions,
    ToDatetime,
    Where,
)

EXAMPLES = """Examples:

    penstock export train.jsonl

    penstock export --where program=support --by-duration P7D train.jsonl

    penstock export --format jsonl --where status=failed | jq .completion.error
"""


def export(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Default: stdout.", dir_okay=False)
    ] = None,
    form: Annotated[
        Literal["dspy", "jsonl"],
        typer.Option(
            "--format", help="dspy: inputs and outputs. jsonl: question and completion, whole."
        ),
    ] = "dspy",
    force: Annotated[bool, typer.Option("--force", help="Write over FILE.")] = False,
    offset: Offset = None,
    partition: Partitions = None,
    from_datetime: FromDatetime = None,
    to_datetime: ToDatetime = None,
    by_duration: ByDuration = None,
    where: Where = None,
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Write questions with their completions as lines of JSON, for DSPy's optimizers or others.

    For `dspy` only what has `status=completed`, unless `--where` asks for another status; what has
    no outputs, as a duplicate has none, is left out. A question is a record: one that was redriven
    is two. How many were written, and what was left out, is on stderr. Nothing is written to
    Kafka. Exit code: 0 written, 1 Kafka failed on the way or there was nothing to write, 2 there
    is no Kafka, or a flag, a topic or FILE is wrong, 130 at Ctrl-C.
    """
    # Kafka's client takes a while to import, and the help needs none of it.
    from penstock.cli import export_run

    meant = Meant(offset, partition, from_datetime, to_datetime, by_duration)
    way = Way(bootstrap_server, command_config, options)
    export_run.run(way, meant, where, form, file, force=force)
