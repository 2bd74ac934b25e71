"""How are log lines to look? For the commands that run for long."""

from typing import Annotated, Literal

import typer

LogFormat = Annotated[
    Literal["auto", "json", "console"] | None,
    typer.Option(
        help="Of log lines: for machines, or for people. Default: for people on a terminal."
    ),
]
