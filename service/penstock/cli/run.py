"""`penstock run`: the program once, without Kafka."""

from typing import Annotated

import typer

from penstock.cli import inputs as command_line
from penstock.cli.connecting import Output

EXAMPLES = """Examples:

    penstock run "Why is the sky blue?" --model openai/gpt-4o-mini

    penstock run --program "text -> translation" text="Guten Tag"

    penstock run --program my_module:Support question="Where is my parcel?"

    penstock run --output json "Why is the sky blue?" | jq -r 'select(.type == "token").text'
"""


def run(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(metavar="FIELD=TEXT", help="Input fields; a bare text is `question`."),
    ] = None,
    program: Annotated[
        str | None,
        typer.Option(
            help="A program of the settings, a DSPy signature such as `question -> answer`, or "
            "`package.module:attribute`. Default: the service's own default."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="A model of the settings, or as DSPy names it: `openai/gpt-4o-mini`."),
    ] = None,
    output: Output = "text",
) -> None:
    """Run a DSPy program once, without Kafka, and print the answer as it is written.

    The first thing to try with a program of your own: it takes the same settings as `serve`, and
    what streams here streams there. Away from a terminal the answer alone is printed;
    `--output json` has every event and field. Exit code: 0 answered, 1 not, 2 usage or
    configuration.
    """
    asked = command_line.fields(inputs or (), bare=True)
    # DSPy takes two seconds to import, and the help needs none of it.
    from penstock.cli import run_once

    raise typer.Exit(run_once.run(asked, program, model, as_json=output == "json"))
