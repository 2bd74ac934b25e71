"""`penstock replay`: questions of before, answered again."""

from pathlib import Path
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
    Where,
)
from penstock.errors import ConfigurationError

EXAMPLES = """Examples:

    penstock replay --by-duration PT24H --where status=failed

    penstock replay --offset @2026-11-27:@2026-11-28 --program v2 --execute

    penstock replay --from-file failed.jsonl --in-place --rate 5 --execute

    penstock replay --resume 20261127-101500-1f3a --execute
"""


def replay(
    offset: Offset = None,
    partitions: Partitions = None,
    from_datetime: FromDatetime = None,
    to_datetime: ToDatetime = None,
    by_duration: ByDuration = None,
    from_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            dir_okay=False,
            allow_dash=True,
            help="Just these: lines of topic, partition and offset with commas between, or "
            "completions or dead letters as JSON lines; `-` is standard input.",
        ),
    ] = None,
    where: Where = None,
    max_messages: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="So many questions at most.")
    ] = None,
    program: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Answers them all: one of PROGRAMS, a signature, or module:attribute. Default: "
            "each its own.",
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Is asked by the programs: one of MODELS.")
    ] = None,
    topic_prefix: Annotated[
        str | None,
        typer.Option(
            metavar="PREFIX",
            help="Answers go to PREFIX.tokens, .completions and .dead-letters. Default: "
            "penstock.replay.ID.",
        ),
    ] = None,
    in_place: Annotated[
        bool, typer.Option("--in-place", help="Answers go to the ordinary topics.")
    ] = False,
    rate: Annotated[
        float | None,
        typer.Option(min=0.001, metavar="N", help="Questions a second, on all machines together."),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Questions that run at once, on this machine."),
    ] = None,
    name: Annotated[
        str | None, typer.Option("--id", metavar="ID", help="What to call it. Default: the time.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="ID", help="Go on with this one, or join it on another machine."),
    ] = None,
    execute: Annotated[
        bool,
        typer.Option("--execute/--dry-run", help="Do it. Else only what would be done is said."),
    ] = False,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Answer a range of the questions topic again, as a job that ends.

    The range is frozen when it begins: its plan stands on the control topic, and any number of
    machines may work on it (`--resume ID`). Every question of it gets exactly one completion, which
    says so (`replay`); deadlines of then do not count, nor whether an id was asked before. Settings
    are those of `penstock serve`, which may run beside it. SIGTERM and Ctrl-C stop it in order, and
    `--resume` goes on. Exit code: 0 all is answered, 1 stopped by a failure, 2 usage or
    configuration, 3 all is done and some were given up here, 130 stopped before its end.
    """
    from penstock.cli import replay_begin, replay_run

    way = Way(bootstrap_server, command_config, options)
    meant = Meant(offset, partitions, from_datetime, to_datetime, by_duration)
    if in_place and topic_prefix is not None:
        raise ConfigurationError("give one of --in-place and --topic-prefix")
    wishes = replay_begin.Wishes(
        meant,
        from_file,
        where or [],
        max_messages,
        program,
        model,
        topic_prefix,
        in_place,
        rate,
        name,
    )
    if resume is not None:
        if wishes != replay_begin.NONE:
            raise ConfigurationError(
                "--resume goes on with a plan as it is: beside it only --slots and --execute count"
            )
        raise typer.Exit(replay_run.resume(way, resume, slots, output, execute=execute))
    raise typer.Exit(replay_run.begin(way, wishes, slots, output, execute=execute))
