"""`penstock compare`: what would another program have said to the same questions?"""

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

EXAMPLES = """Examples:

    penstock compare monday

    penstock compare monday --field answer --html monday.html

    penstock compare monday --metric judge:is_polite --where metadata.tenant=acme

    penstock compare monday --output json | jq -r 'select(.outcome == "newly_failed").question_id'
"""


def compare(
    replay: Annotated[
        str | None, typer.Argument(metavar="ID", help="Of the replay, as it was printed.")
    ] = None,
    topic_prefix: Annotated[
        str | None,
        typer.Option(metavar="PREFIX", help="Of the replay's topics, where it had another one."),
    ] = None,
    field: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Compare only this output; repeatable. Default: all."),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="MODULE:FUNCTION",
            help="Score both answers by metric(example, prediction, trace=None), as DSPy has it; "
            "the example has the question's inputs.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a page with the differences, for any browser."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over FILE.")] = False,
    limit: Annotated[
        int, typer.Option(min=0, metavar="N", help="Differences that are shown as text.")
    ] = 10,
    offset: Offset = None,
    partition: Partitions = None,
    from_datetime: FromDatetime = None,
    to_datetime: ToDatetime = None,
    by_duration: ByDuration = None,
    where: Where = None,
    output: Output = "text",
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Compare a replay's answers with the original ones.

    How many are equal, changed, newly failed and newly fixed; latency and tokens side by side; what
    differs, word by word. Outputs are compared as they stand in the completions, but for white
    space at the ends of a text. Range and `--where` are about the original questions and
    completions. JSON is one object for each question with both completions, and a last one with
    `type: summary`. Nothing is written to Kafka. Exit code: 0 it was compared, whatever differs,
    1 Kafka failed on the way, 2 there is no Kafka, no such replay, topic or metric, 3 the metric
    raised for some questions, 130 at Ctrl-C.
    """
    # Kafka's client and DSPy take a while to import, and the help needs neither.
    from penstock.cli import compare_run

    meant = Meant(offset, partition, from_datetime, to_datetime, by_duration)
    wanted = compare_run.Wanted(replay, topic_prefix, tuple(field or ()), metric)
    shown = compare_run.Shown(output == "json", html, force, limit)
    way = Way(bootstrap_server, command_config, options)
    raise typer.Exit(compare_run.run(way, meant, where, wanted, shown))
