"""Who says what? Flags, the environment, `.env` and `penstock.toml`, setting by setting."""

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from penstock.errors import ConfigurationError
from penstock.settings.names import Path, is_table, known, spelt

PREFIX = "PENSTOCK_"
TEST_PREFIX = "PENSTOCK_TEST_"
"""What the tests are told, which is nobody's setting."""
TOKEN = "PENSTOCK_TOKEN"  # noqa: S105 - its name
"""What shows who asks a gateway, as `penstock ask` does."""
SERVICE_LINK = re.compile(r"_SERVICE_HOST=|_SERVICE_PORT(_.*)?=|_PORT=.*://|_PORT_\d+_.*=")
"""What Kubernetes tells every pod about a Service called penstock, or penstock-something."""
CLIENT = ("kafka", "client")
"""Whose names are not ours."""
UNSET = object()
"""The value of an empty variable."""
TOML, DOTENV, FLAG = "penstock.toml", ".env", "flag"

_ADDRESSES = {"openai": ("OPENAI_BASE_URL", "OPENAI_API_BASE")}
"""By provider, in LiteLLM's order."""
_KEYS = {
    "azure": ("AZURE_OPENAI_API_KEY",),
    "gemini": ("GOOGLE_API_KEY",),
    "moonshotai": ("MOONSHOT_API_KEY",),
}
"""What providers call their key beside `<PROVIDER>_API_KEY`."""


@dataclass(frozen=True, slots=True)
class Said:
    """One value of one source.

    Args:
        path: of the setting.
        value: as it stands there.
        source: a variable of the environment, `.env`, `penstock.toml` or `flag`.
        called: its name there.
        name: what another setting would be called there.
    """

    path: Path
    value: Any
    source: str
    called: str
    name: Callable[[Path], str]

    @property
    def place(self) -> str:
        """For messages."""
        if self.source == FLAG:
            return f"the flag {self.called}"
        if self.source in {TOML, DOTENV}:
            return f"{self.source}: {self.called}"
        return f"the environment variable {self.called}"


Variables = Mapping[str, str | None]


def flags(given: Mapping[str, Any]) -> Iterator[Said]:
    for path, value in _leaves((), given):
        yield Said(path, value, FLAG, spelt(path), spelt)


def environment() -> Variables:
    return os.environ


def dotenv() -> Variables:
    """Raises ConfigurationError."""
    file = File(DOTENV)
    try:
        if file.exists():
            with file.open(encoding="utf-8") as stream:
                # The library itself says of such a line that it is left out, and goes on.
                for binding in parse_stream(stream):
                    if binding.error:
                        raise ConfigurationError(
                            f"{DOTENV}, line {binding.original.line}: not NAME=value"
                        )
        return dotenv_values(DOTENV, encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{DOTENV}: {error}") from error


def toml() -> list[Said]:
    """Raises ConfigurationError."""
    file = File(TOML)
    try:
        tables = tomllib.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{TOML}: {error}") from error
    return [Said(path, value, TOML, _dotted(path), _dotted) for path, value in _leaves((), tables)]


def variables(found: Variables, file: str | None = None) -> Iterator[Said]:
    """What has our prefix, in whatever case. An empty one is UNSET; one that holds no JSON where it
    should has a ConfigurationError for its value.
    """
    name = "KAFKA_BOOTSTRAP_SERVERS"
    if servers := found.get(name):
        yield Said(("kafka", "bootstrap_servers"), servers, file or name, name, _variable)
    for name, text in found.items():
        path = tuple(name[len(PREFIX) :].lower().split("__"))
        if not name.upper().startswith(PREFIX) or (not known(path) and _others(name, text)):
            continue
        for inner, value in _leaves(path, _value(path, text, name, file)):
            within = inner[len(path) :]
            called = f"{_dotted(within)} in {name}" if within not in {(), ("entry",)} else name
            yield Said(inner, value, file or name, called, _variable)


def customary(
    models: Iterable[tuple[Path, Any]], found: Variables, file: str | None = None
) -> Iterator[Said]:
    """By what providers call them: the keys and addresses of these models, by their names."""
    for path, model in models:
        provider = str(model).partition("/")[0]
        keys = (f"{provider.upper()}_API_KEY", *_KEYS.get(provider, ()))
        for field, names in (("api_base", _ADDRESSES.get(provider, ())), ("api_key", keys)):
            name = next((name for name in names if found.get(name)), None)
            if name is not None:
                yield Said((*path, field), found[name], file or name, name, _variable)


def _value(path: Path, text: str | None, name: str, file: str | None) -> Any:
    """A whole table may be written as JSON."""
    if not text:
        return UNSET
    if not is_table(path) or not text.lstrip().startswith("{"):
        return text
    try:
        return json.loads(text)
    except ValueError as error:
        where = name if file is None else f"{file}: {name}"
        return ConfigurationError(f"{where} is no JSON: {error}")


def _leaves(path: Path, value: Any) -> Iterator[tuple[Path, Any]]:
    """A program's entry may stand for its whole table."""
    if isinstance(value, Mapping) and (value or not path):
        for name, one in value.items():
            yield from _leaves((*path, str(name)), one)
    elif len(path) == 2 and path[0] == "programs" and isinstance(value, str):  # noqa: PLR2004
        yield (*path, "entry"), value
    else:
        yield _with_dots(path), value


def _with_dots(path: Path) -> Path:
    """As librdkafka names it: a variable has underscores for its dots, and TOML takes a dot for a
    table in a table.
    """
    table, names = path[: len(CLIENT)], path[len(CLIENT) :]
    return (*table, ".".join(names).replace("_", ".")) if names and table == CLIENT else path


def _others(name: str, text: str | None) -> bool:
    """Whether it is said to somebody else."""
    link = SERVICE_LINK.search(f"{name.upper()}={text or ''}")
    return name.upper() == TOKEN or name.upper().startswith(TEST_PREFIX) or link is not None


def _variable(path: Path) -> str:
    return f"{PREFIX}{spelt(path)}"


def _dotted(path: Path) -> str:
    """As TOML writes it."""
    bare = re.compile(r"[A-Za-z0-9_-]+")
    return ".".join(part if bare.fullmatch(part) else json.dumps(part) for part in path)
