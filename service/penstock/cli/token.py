"""`penstock token`: a new bearer token of the gateway."""

from typing import Annotated

import typer

EXAMPLES = """Examples:

    penstock token ana >> tokens.toml

    penstock token shop --program qa --requests-per-minute 60 >> tokens.toml

    TOKEN=$(penstock token on-call --operator 2>&1 >> tokens.toml)
"""


def token(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Of who gets it.")],
    program: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="That may be asked; repeatable. Default: all."),
    ] = None,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help="Default: `GATEWAY__REQUESTS_PER_MINUTE`."),
    ] = None,
    operator: Annotated[
        bool, typer.Option("--operator", help="May pause, redrive and replay as well.")
    ] = False,
) -> None:
    """Make a bearer token of the gateway.

    The token goes to stderr, this one time; what the file of `GATEWAY__TOKENS` has to hold of it,
    with its hash, to stdout. A gateway that runs reads the file again. Exit code: 0, or 2 where the
    name will not do.
    """
    import json
    import sys

    from penstock.gateway.tokens import NAME, digest, new_token

    if not NAME.fullmatch(name):
        raise typer.BadParameter("1 to 64 letters, digits, _ and -", param_hint="NAME")
    made = new_token()
    print(f"[{name}]")
    print(f'sha256 = "{digest(made).hex()}"')
    if program:
        # A JSON string is one of TOML, too, but for half of a character as an escape.
        print(f"programs = {json.dumps(program, ensure_ascii=False)}")
    if requests_per_minute is not None:
        print(f"requests_per_minute = {requests_per_minute}")
    if operator:
        print("operator = true")
    print()
    print(made, file=sys.stderr)
