"""`penstock resume`: an operator has seen to what made too many questions fail."""

from typing import Annotated

import typer


def resume(
    bootstrap_server: Annotated[
        str | None, typer.Option("--bootstrap-server", "-b", help="host:port of the brokers.")
    ] = None,
) -> None:
    """Let all replicas go on that have paused because too many questions failed for good.

    The questions that were kept back are asked anew.
    """
    from penstock.cli.controlling import ask_all
    from penstock.events.control import ALL, PAUSE

    ask_all(bootstrap_server, {f"{PAUSE}{ALL}": None})
    print("asked all replicas to go on")
