"""The README's pages of the commands, one each as `man` has them, written from the commands."""

import html
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any, get_args

import typer

from penstock.cli import app as penstock
from penstock.cli.connecting import CONNECTION, Output

COLUMNS = 100
INDENT = " " * 4
TOGETHER = "\N{NO-BREAK SPACE}"


def reference(app: typer.Typer = penstock) -> str:
    """What all commands share, then a page for each."""
    pages = list(_walk(typer.main.get_command(app), None))
    shared = {
        option.get_help_record(context): None for context in pages for option in _shared(context)
    }
    said = "\n".join(line for record in shared for line in _entry(*record)).rstrip()
    common = [f"```text\n{textwrap.dedent(said)}\n```"] if said else []
    return "\n\n".join([*common, *map(_folded, pages)])


def _walk(command: Any, parent: Any) -> Iterator[Any]:
    """The command in its context, and then its own commands, but for those that are hidden."""
    name = command.name if parent is not None else "penstock"
    context = command.context_class(command, info_name=name, parent=parent)
    yield context
    for each in _commands(command):
        yield from _walk(each, context)


def _commands(command: Any) -> list[Any]:
    found = getattr(command, "commands", {}).values()
    return [each for each in found if not each.hidden]


def _folded(context: Any) -> str:
    summary = html.escape(_first(context.command), quote=False)
    summary = re.sub(r"`([^`]+)`", r"<code>\1</code>", summary)
    path = html.escape(context.command_path, quote=False)
    page = "\n".join(_page(context)).strip()
    return (
        f"<details><summary><code>{path}</code>: {summary}</summary>\n\n"
        f"```text\n{page}\n```\n\n</details>"
    )


def _page(context: Any) -> Iterator[str]:
    command = context.command
    _, *more = _paragraphs(command)
    about, exits = _parted(more)
    arguments = [_argument(one, context) for one in _parameters(context, "argument")]
    options = [one.get_help_record(context) for one in _parameters(context, "option")]
    yield from _section("NAME", [*_wrapped(f"{context.command_path} - {_first(command)}")])
    yield from _section("SYNOPSIS", [*_wrapped(_synopsis(context), hang=INDENT)])
    yield from _section("DESCRIPTION", _spaced(_wrapped(each) for each in about))
    yield from _section("ARGUMENTS", _spaced(_entry(*each) for each in arguments))
    yield from _section("OPTIONS", _spaced(_entry(*each) for each in options))
    commands = [(each.name, _first(each)) for each in _commands(command)]
    yield from _section("COMMANDS", _spaced(_entry(*each) for each in commands))
    yield from _section("EXIT STATUS", [*_wrapped(exits)])
    yield from _section("EXAMPLES", list(_examples(command)))


def _section(title: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield from (title, *lines, "")


def _synopsis(context: Any) -> str:
    """`[OPTION]...` are those of the page; those that all share are named."""
    parts = [context.command_path]
    if _parameters(context, "option"):
        parts.append("[OPTION]...")
    for option in _shared(context):
        shortest = min(option.opts, key=len)
        times = "..." if option.multiple else ""
        parts.append(f"[{shortest}{TOGETHER}{option.display_type_rich(context)}]{times}")
    for argument in _parameters(context, "argument"):
        parts += argument.get_usage_pieces(context)
    if _commands(context.command):
        parts.append("COMMAND ...")
    return " ".join(parts)


def _parameters(context: Any, kind: str) -> list[Any]:
    """Those that the page tells of."""
    return [
        each
        for each in context.command.params
        if each.param_type_name == kind and not each.hidden and not _is_shared(each)
    ]


def _shared(context: Any) -> list[Any]:
    """Those of the connection first."""
    found = [each for each in context.command.params if _is_shared(each)]
    return sorted(found, key=lambda each: each.rich_help_panel != CONNECTION)


def _is_shared(parameter: Any) -> bool:
    """The same for all that have it; a command may have an `--output` that means something else."""
    panel = getattr(parameter, "rich_help_panel", None)
    return panel == CONNECTION or parameter.help == get_args(Output)[1].help


def _argument(argument: Any, context: Any) -> tuple[str, str]:
    name, said = argument.get_help_record(context)
    # Without the type: all are text, or say so.
    return name.partition(" ")[0], said


def _entry(name: str, said: str) -> Iterator[str]:
    yield f"{INDENT}{name}"
    yield from _wrapped(said, INDENT * 2)


def _spaced(entries: Iterable[Iterable[str]]) -> list[str]:
    """With an empty line between two."""
    lines = [line for entry in entries for line in (*entry, "")]
    return lines[:-1]


def _wrapped(text: str, indent: str = INDENT, hang: str = "") -> Iterator[str]:
    lines = textwrap.wrap(
        re.sub(r"[ \n]+", " ", text),
        COLUMNS,
        initial_indent=indent,
        subsequent_indent=indent + hang,
        break_long_words=False,
        break_on_hyphens=False,
    )
    yield from (line.replace(TOGETHER, " ") for line in lines)


def _paragraphs(command: Any) -> list[str]:
    told = inspect.cleandoc(command.help or "").replace("\b\n", "")
    return re.split(r"\n\s*\n", told)


def _first(command: Any) -> str:
    deprecated = " (deprecated)" if command.deprecated else ""
    return " ".join(_paragraphs(command)[0].split()) + deprecated


def _parted(paragraphs: list[str]) -> tuple[list[str], str]:
    """What it does, and with which exit code: our docstrings say that last."""
    if not paragraphs:
        return [], ""
    *others, last = paragraphs
    about, _, exits = re.sub(r"\bExit codes:", "Exit code:", last).partition("Exit code:")
    return [*others, about] if about.strip() else others, exits.strip()


def _examples(command: Any) -> Iterator[str]:
    told = inspect.cleandoc(command.epilog or "").removeprefix("Examples:")
    for line in textwrap.dedent(told.strip("\n")).splitlines():
        if line.strip():
            yield f"{INDENT}{line}"
