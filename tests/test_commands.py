"""What the command line says of itself: help, completion, and the README's pages."""

import os
import pty
import re
import subprocess
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from penstock.cli import app
from schemas.commands import reference
from tests.support.command import PENSTOCK, penstock


def _words(command: Any, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    own = getattr(command, "commands", {})
    return [before] + [
        words for name, each in own.items() for words in _words(each, (*before, name))
    ]


COMMANDS = _words(typer.main.get_command(app))
ROOM = 80


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words) or "penstock")
def test_help_fits_80_columns_and_nothing_is_cut_short(words: tuple[str, ...]) -> None:
    told = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": str(ROOM)})
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert max(map(len, lines)) <= ROOM
    assert "…" not in told.stdout


def test_every_command_has_a_page_with_examples() -> None:
    pages = re.findall(r"<summary><code>(.*?)</code>.*?```text\n(.*?)```", reference(), re.DOTALL)
    assert [name for name, _ in pages] == [" ".join(("penstock", *words)) for words in COMMANDS]
    for name, page in pages:
        assert page.startswith(f"NAME\n    {name} - ")
        assert ("\nEXAMPLES\n" in page) != ("\nCOMMANDS\n" in page), name
        assert max(map(len, page.splitlines())) <= 100


async def test_a_shell_completes_commands_and_options() -> None:
    for typed, completed in (
        ("penstock top", "topics"),
        ("penstock topics create --al", "--alter"),
    ):
        words = {"COMP_WORDS": typed, "COMP_CWORD": str(len(typed.split()) - 1)}
        ended = await penstock(env={"_PENSTOCK_COMPLETE": "complete_bash", **words})
        assert ended.stdout.split() == [completed]


@pytest.mark.parametrize("wanted", [True, False])
def test_colours_are_left_out_where_nobody_wants_them(tmp_path: Path, *, wanted: bool) -> None:
    env = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "TERM"}}
    env |= {"TERM": "xterm-256color"} | ({} if wanted else {"NO_COLOR": "1"})
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [PENSTOCK, "topics", "check", "--help"], stdout=theirs, env=env, cwd=tmp_path
    ) as process:
        os.close(theirs)
        told = b"".join(iter(lambda: _read(ours), b"")).decode()
    os.close(ours)
    assert process.returncode == 0
    colours = re.findall(r"\x1b\[[0-9;]*?(?:3|4|9)[0-7][0-9;]*m", told)
    assert bool(colours) is wanted


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        # So ends a terminal whose program has ended.
        return b""


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def _toy() -> typer.Typer:
    """Something of everything that typer has."""
    toy, inner = typer.Typer(), typer.Typer(help="Inner <things>.")

    @toy.callback()
    def root(*, loud: Annotated[bool, typer.Option("--loud", help="Says more.")] = False) -> None:
        """Does `all`."""

    @toy.command(
        epilog="Examples:\n\n    penstock paint red > out\n\n    penstock paint blue \\\n      -v"
    )
    def paint(
        colour: Annotated[Colour, typer.Argument(help="Of the paint.")],
        places: Annotated[list[str] | None, typer.Argument(metavar="PLACE", help="Where.")] = None,
        size: Annotated[tuple[int, int], typer.Option(envvar="SIZE", help="Width, height.")] = (
            1,
            2,
        ),
        verbose: Annotated[int, typer.Option("-v", count=True, help="How much is said.")] = 0,
        output: Annotated[str, typer.Option(help="A file of its own.")] = "-",
        must: Annotated[str, typer.Option(help="Has to be given.")] = ...,
        secret: Annotated[str, typer.Option(hidden=True)] = "",
        *,
        dry: Annotated[bool, typer.Option("--dry/--wet", help="How.")] = True,
    ) -> None:
        """Paints `it`
        over two lines.

        More of it. Exit code: 0 done,
        1 not.
        """

    @toy.command(hidden=True)
    def unseen() -> None:
        """Not told."""

    @inner.command(deprecated=True)
    def old() -> None:
        pass

    toy.add_typer(inner, name="inner")
    return toy


def test_a_page_tells_whatever_a_command_has() -> None:
    told = reference(_toy())
    assert "<code>penstock paint</code>: Paints <code>it</code> over two lines.</summary>" in told
    assert "<code>penstock inner</code>: Inner &lt;things&gt;.</summary>" in told
    for line in (
        "    penstock paint [OPTION]... {colour} [PLACE]...",
        "    More of it.",
        "    colour",
        "        Of the paint. [required]",
        "    --size <int,int>...",
        "        Width, height. [env var: SIZE; default: 1, 2]",
        "    -v",
        "    --output <str>",
        "        Has to be given. [required]",
        "    --dry / --wet",
        "    0 done, 1 not.",
        "    penstock paint red > out",
        "      -v",
        "    penstock inner old - (deprecated)",
    ):
        assert f"\n{line}\n" in told, line
    assert "unseen" not in told
    assert "--secret" not in told
