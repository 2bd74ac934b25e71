"""`penstock model`: a small real language model on this machine."""

from typing import Annotated

import typer
from rich.console import Console

from penstock.local.foreground import until_stopped
from penstock.local.model import Served
from penstock.local.model import model as start

EXAMPLES = """Examples:

    penstock model

    penstock model --port 8080 --slots 2
"""


def model(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0 finds a free one.")
    ] = 0,
    slots: Annotated[
        int, typer.Option(min=1, max=64, help="Answers written at the same time; others wait.")
    ] = 4,
) -> None:
    """Run a small real language model on this machine until Ctrl-C.

    SmolLM2 with 135 million parameters, on the CPU, behind an OpenAI-compatible address: good
    enough to see tokens stream, not to trust an answer. Standard output is what to export, so
    that another terminal finds it. Exit code: 0 stopped, 1 it has ended by itself, 2 usage or
    configuration.
    """
    console = Console(stderr=True)
    with console.status("Loading the model") as status:

        def announce(served: Served) -> None:
            status.stop()
            print(f"export PENSTOCK_MODEL__NAME=openai/{served.name}")
            print(f"export PENSTOCK_MODEL__API_BASE={served.api_base}")
            # The server asks for no key, its clients do.
            print("export PENSTOCK_MODEL__API_KEY=none")
            # It cannot follow the format that tells several fields apart.
            print("export PENSTOCK_MODEL__ADAPTER=plain")
            # Left alone it sometimes goes on for a minute.
            print("export PENSTOCK_MODEL__OPTIONS__MAX_TOKENS=256", flush=True)
            console.print("The model is running. Ctrl-C stops it.")

        until_stopped(start(slots=slots, port=port), announce, lambda served: served.ended())
