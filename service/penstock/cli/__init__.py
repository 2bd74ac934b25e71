"""The command line. Data on stdout, progress and logs on stderr.

Exit codes: 0 done, 1 failed, 2 usage or configuration, 3 partly failed, 4 an operator is needed,
130 interrupted.
"""

import os
import signal
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
    compare,
    config,
    demo,
    dlq,
    export,
    gateway,
    init,
    model,
    pause,
    replay,
    resume,
    run,
    serve,
    status,
    tail,
    token,
    topics,
)
from penstock.errors import ConfigurationError, GatewayError, KafkaError
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

BEGIN, ASK, OPERATE, LAPTOP = "Begin", "Serve and ask", "Operate", "On a laptop"

app.command("demo", epilog=demo.EXAMPLES, rich_help_panel=BEGIN)(demo.demo)
app.command("init", epilog=init.EXAMPLES, rich_help_panel=BEGIN)(init.init)
app.command("run", epilog=run.EXAMPLES, rich_help_panel=BEGIN)(run.run)
app.command("check", epilog=check.EXAMPLES, rich_help_panel=BEGIN)(check.check)
app.add_typer(config.config, name="config", rich_help_panel=BEGIN)
app.command("serve", epilog=serve.EXAMPLES, rich_help_panel=ASK)(serve.serve)
app.command("gateway", epilog=gateway.EXAMPLES, rich_help_panel=ASK)(gateway.gateway)
app.command("token", epilog=token.EXAMPLES, rich_help_panel=ASK)(token.token)
app.command("ask", epilog=ask.EXAMPLES, rich_help_panel=ASK)(ask.ask)
app.command("cancel", epilog=cancel.EXAMPLES, rich_help_panel=ASK)(cancel.cancel)
app.command("status", epilog=status.EXAMPLES, rich_help_panel=OPERATE)(status.status)
app.command("tail", epilog=tail.EXAMPLES, rich_help_panel=OPERATE)(tail.tail)
app.command("pause", epilog=pause.EXAMPLES, rich_help_panel=OPERATE)(pause.pause)
app.command("resume", epilog=resume.EXAMPLES, rich_help_panel=OPERATE)(resume.resume)
app.add_typer(dlq.dlq, name="dlq", rich_help_panel=OPERATE)
app.command("replay", epilog=replay.EXAMPLES, rich_help_panel=OPERATE)(replay.replay)
app.command("compare", epilog=compare.EXAMPLES, rich_help_panel=OPERATE)(compare.compare)
app.command("export", epilog=export.EXAMPLES, rich_help_panel=OPERATE)(export.export)
app.add_typer(topics.topics, name="topics", rich_help_panel=OPERATE)
app.command("broker", epilog=broker.EXAMPLES, rich_help_panel=LAPTOP)(broker.broker)
app.command("model", epilog=model.EXAMPLES, rich_help_panel=LAPTOP)(model.model)


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
    if os.getpid() == 1:
        # Linux keeps from the first process of a container what it has not asked for: until a
        # command does, SIGTERM would be lost, and it be killed amid its work when the time is over.
        signal.signal(signal.SIGTERM, lambda number, _: os._exit(128 + number))
    try:
        app()
    except ConfigurationError as error:
        _tell(f"penstock: {error}\n")
        raise SystemExit(2) from error
    except (GatewayError, KafkaError) as error:
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
