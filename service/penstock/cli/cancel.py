"""`penstock cancel`: nobody wants the answer any more."""

from typing import Annotated

import typer

from penstock.cli.connecting import BootstrapServer, ClientOptions, CommandConfig, Way

EXAMPLES = """Examples:

    penstock cancel b0a6f3c2 7d11e0f9
"""


def cancel(
    question_ids: Annotated[
        list[str],
        typer.Argument(metavar="ID", help="Of the questions, as in their completions."),
    ],
    bootstrap_server: BootstrapServer = None,
    command_config: CommandConfig = None,
    options: ClientOptions = None,
) -> None:
    """Cancel questions, whether they wait, run, or have not been fetched yet.

    The call of the model is cut off, and the completion says `cancelled`. What has ended already
    stays as it is. The id stays cancelled for the longest deadline: to ask again, take a new one.
    Exit code: 0 asked, 1 Kafka has not taken it, 2 usage or configuration.
    """
    from penstock.cli.controlling import ask_all
    from penstock.events.control import CANCEL, Cancel

    said = {
        f"{CANCEL}{name}": Cancel(question_id=name).model_dump_json().encode()
        for name in question_ids
    }
    ask_all(Way(bootstrap_server, command_config, options), said)
    for name in question_ids:
        print(f"asked all replicas to cancel {name}")
