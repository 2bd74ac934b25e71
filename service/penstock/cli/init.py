"""`penstock init`: a project of one's own, from the files in `penstock/project/`."""

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from penstock.errors import ConfigurationError

TEMPLATE = Path(__file__).parents[1] / "project"

FILES = {
    "penstock.toml": "penstock.toml",
    "program.py": "program.py",
    "test_program.py": "test_program.py",
    "docker-compose.yml": "docker-compose.yml",
    "README.md": "README.md",
    # By its own name it would hide files of the template.
    "gitignore": ".gitignore",
}
"""What is written, and as what."""

PLACEHOLDER = "my-project"

QUESTION = '"Why is the sky blue?"'

EXAMPLES = """Examples:

    penstock init

    penstock init desk && cd desk
"""


def init(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="DIR",
            file_okay=False,
            show_default=False,
            help="Where to; it is made where it is missing. Default: here. Its name is that of "
            "the consumer group.",
        ),
    ] = Path(),
) -> None:
    """Begin a project: settings, a program with a test, a compose file.

    It runs as it is. Nothing is overwritten: where one of the files is there already, none is
    written. Exit code: 0 written, 2 not.
    """
    targets = {source: folder / name for source, name in FILES.items()}
    if there := [str(target) for target in targets.values() if target.exists()]:
        raise ConfigurationError(
            f"already there: {', '.join(there)}; nothing was written, name another folder"
        )
    name = group_name(folder.resolve().name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for source, target in targets.items():
            text = (TEMPLATE / source).read_text(encoding="utf-8").replace(PLACEHOLDER, name)
            with target.open("x", encoding="utf-8") as file:
                file.write(text)
    except OSError as error:
        raise ConfigurationError(f"cannot write {error.filename}: {error.strerror}") from error
    for target in targets.values():
        print(f"wrote {target}")
    print(
        "\nWatch it on a Kafka and a small model of this machine, then give it a model of yours:\n"
    )
    if folder.resolve() != Path.cwd():
        print(f"    cd {shlex.quote(str(folder))}")
    print("    penstock demo")
    print("    export OPENAI_API_KEY=...      # or name another model in penstock.toml")
    print(f"    penstock run {QUESTION}")


def group_name(folder: str) -> str:
    """A folder's name as a consumer group's, and where a YAML or TOML file names it.

    >>> group_name("Help desk (2)")
    'help-desk-2'
    """
    return re.sub(r"[^a-z0-9._]+", "-", folder.lower()).strip("-._") or PLACEHOLDER
