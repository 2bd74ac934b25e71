"""`penstock config`: which settings there are, what they are here, and what is wrong with them."""

import json
import sys
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from penstock.cli.connecting import Output
from penstock.errors import ConfigurationError
from penstock.settings import Resolution, Settings, resolve
from penstock.settings.names import Path, spelt
from penstock.settings.schema import schema as json_schema
from penstock.settings.secrets import shown

DEFAULT = "default"

config = typer.Typer(
    help="Show the settings and where they come from, check them, describe them to an editor.",
    no_args_is_help=True,
)


class Row(NamedTuple):
    name: str
    value: Any
    source: str


SHOW = """Examples:

    penstock config show

    penstock config show --changed

    penstock config show --output json | jq -r 'select(.source == ".env").name'
"""
VALIDATE = """Examples:

    penstock config validate && penstock serve
"""
SCHEMA = """Examples:

    penstock config schema > penstock.schema.json
"""


@config.command("show", epilog=SHOW)
def show(
    changed: Annotated[
        bool, typer.Option("--changed", help="Only what is not the default, as for a report.")
    ] = False,
    output: Output = "text",
) -> None:
    """Print every setting with its value and its source; secrets are hidden.

    The source is a variable of the environment, .env, penstock.toml or the default. Exit code: 0,
    or 2 where something is wrong.
    """
    found = resolve()
    settings = _usable(found)
    rows = [row for row in _rows(settings, found) if row.source != DEFAULT or not changed]
    if output == "json":
        for row in rows:
            print(json.dumps(row._asdict(), ensure_ascii=False))
    elif sys.stdout.isatty():
        _draw(rows)
    else:
        _write(rows)


@config.command("validate", epilog=VALIDATE)
def validate(output: Output = "text") -> None:
    """Check the settings of all sources, and say everything that is wrong with them.

    No program is loaded and nobody is contacted; certificates and keys are read. Exit code: 0, or 2
    where something is wrong.
    """
    found = resolve()
    settings = _usable(found)
    # Kafka's client takes a moment to import, and `show` needs none of it.
    from penstock.kafka.security import client_arguments

    client_arguments(settings.kafka.bootstrap_servers, settings.kafka.client)
    sources = dict.fromkeys(one.source for one in found.said.values())
    named = {name: model.name for name, model in settings.all_models.items()}
    if output == "json":
        told = {
            "settings": len(found.said),
            "sources": list(sources),
            "programs": list(settings.programs),
            "models": named,
        }
        print(json.dumps(told, ensure_ascii=False))
        return
    models = [f"{name} ({model})" for name, model in named.items()]
    print(f"ok: {len(found.said)} settings from {', '.join(sources) or 'no source'}")
    print(f"    programs: {', '.join(settings.programs)}")
    print(f"    models: {', '.join(models) or 'none'}")


@config.command("schema", epilog=SCHEMA)
def schema() -> None:
    """Print the JSON Schema of penstock.toml, for an editor."""
    print(json.dumps(json_schema(), indent=2, ensure_ascii=False))


def _usable(found: Resolution) -> Settings:
    if found.settings is None:
        *others, last = found.wrong
        for line in others:
            print(f"penstock: {line}", file=sys.stderr)
        raise ConfigurationError(last)
    return found.settings


def _rows(settings: Settings, found: Resolution) -> Iterator[Row]:
    for path, value in _leaves((), settings.model_dump()):
        said = found.said.get(path)
        # A value that is a list, or in an option, was said as a whole.
        yield Row(spelt(path), shown(path, value), DEFAULT if said is None else said.source)


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, dict) and value:
        for name, one in value.items():
            yield from _leaves((*path, name), one)
    else:
        yield path, value


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _draw(rows: list[Row]) -> None:
    table = Table("Setting", "Value", "Source", box=None, header_style="bold")
    for row in rows:
        style = "dim" if row.source == DEFAULT else ""
        table.add_row(*(Text(_text(cell), style, overflow="fold") for cell in row))
    Console(highlight=False).print(table)


def _write(rows: list[Row]) -> None:
    """Aligned for people, and for `grep`."""
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max((len(row[column]) for row in cells), default=0) for column in (0, 1)]
    for name, value, source in cells:
        print(f"{name:{widths[0]}}  {value:{widths[1]}}  {source}")
