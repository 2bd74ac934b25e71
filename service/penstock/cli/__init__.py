"""The command line. Data on stdout, progress and logs on stderr.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 partly failed, 4 an operator is needed,
130 interrupted.
"""

import sys

import typer

from penstock.cli import serve
from penstock.errors import ConfigurationError

app = typer.Typer(
    name="penstock",
    help="Answers questions from Kafka with any DSPy program.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("serve")(serve.serve)


def main() -> None:
    """The `penstock` command."""
    try:
        app()
    except ConfigurationError as error:
        print(f"penstock: {error}", file=sys.stderr)
        raise SystemExit(2) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
