"""`penstock check`: would it work?"""

from typing import Annotated

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Output, Way

EXAMPLES = """Examples:

    penstock check

    penstock check --no-model

    penstock check --output json | jq -r 'select(.level != "ok").about'
"""


def check(
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
    model: Annotated[
        bool,
        typer.Option(
            "--model/--no-model",
            help="Ask each model for one token, which costs as much; without, no key is needed.",
        ),
    ] = True,
    output: Output = "text",
) -> None:
    """Look whether `penstock serve` would work with these settings, and what may harm it one day.

    Programs, models, Kafka, topics, rights, the group, the clock: one line each, with what to do.
    Nothing is written to Kafka, and no question is read. Run it as the service, with its settings
    and its user. Exit code: 0 nothing is wrong (there may be warnings, and what could not be
    looked at), 1 something is, 2 the settings cannot be read, so that nothing was looked at.
    """
    # DSPy takes two seconds to import, and the help needs none of it.
    from penstock.cli import check_run

    way = Way(bootstrap_server, command_config, options)
    raise typer.Exit(check_run.run(way, asks=model, as_json=output == "json"))
