"""`penstock demo`: everything on this machine, to be watched."""

from typing import Annotated

import typer

EXAMPLES = """Examples:

    penstock demo

    penstock demo --keep --questions 12
"""


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", help="Then stay up until Ctrl-C, for questions of your own.")
    ] = False,
    questions: Annotated[int, typer.Option(min=1, max=1000, help="How many are asked.")] = 6,
) -> None:
    """Watch a real Kafka, a small model and the service answer a few questions.

    Nothing has to be set up: Kafka is downloaded once (43 MB), and where the small model is not
    installed a scripted one takes its place. Three questions are answered at a time; the others
    wait, and the intake is paused while too many do. No process is left behind. Exit code: 0 all
    are answered, 1 not, 130 interrupted.
    """
    # Kafka's client takes a while to import, and the help needs none of it.
    from penstock.cli import demo_run

    raise typer.Exit(demo_run.run(keep=keep, count=questions))
