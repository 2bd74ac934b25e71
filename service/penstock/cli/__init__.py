"""The command line. Data on stdout, progress and logs on stderr.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 partly failed, 4 an operator is needed,
130 interrupted.
"""

import sys
import traceback
from typing import Annotated

import typer

from penstock import __version__
from penstock.cli import (
    ask,
    broker,
    cancel,
    check,
    config,
    demo,
    init,
    model,
    pause,
    resume,
    run,
    serve,
)
from penstock.errors import ConfigurationError, KafkaError
from penstock.settings import resolve
from penstock.settings.secrets import hiding

app = typer.Typer(
    name="penstock",
    help="Answers questions from Kafka with any DSPy program.",
    no_args_is_help=True,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
app.command("demo")(demo.demo)
app.command("init")(init.init)
app.command("run", epilog=run.EXAMPLES)(run.run)
app.command("serve")(serve.serve)
app.command("ask", epilog=ask.EXAMPLES)(ask.ask)
app.command("cancel", epilog=cancel.EXAMPLES)(cancel.cancel)
app.command("pause", epilog=pause.EXAMPLES)(pause.pause)
app.command("resume", epilog=resume.EXAMPLES)(resume.resume)
app.command("check", epilog=check.EXAMPLES)(check.check)
app.add_typer(config.config, name="config")
app.command("broker")(broker.broker)
app.command("model")(model.model)


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"penstock {__version__}")
        raise typer.Exit


def main() -> None:
    """The `penstock` command."""
    try:
        app()
    except ConfigurationError as error:
        _tell(f"penstock: {error}\n")
        raise SystemExit(2) from error
    except KafkaError as error:
        _tell(f"penstock: {error}\n")
        raise SystemExit(1) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    except Exception as error:
        _tell(traceback.format_exc())
        raise SystemExit(1) from error


def _tell(what: str) -> None:
    """Without secrets: what a library says of a setting may quote it."""
    loaded = resolve().settings
    sys.stderr.write(what if loaded is None else hiding(loaded)(what))
