"""What do all sources say together, and what is wrong with it?"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from penstock.errors import ConfigurationError
from penstock.settings import sources
from penstock.settings.client import NAMES
from penstock.settings.names import Path, example, is_table, known, nearest, spelt
from penstock.settings.rules import broken
from penstock.settings.secrets import shown
from penstock.settings.sources import CLIENT, UNSET, Said, Variables
from penstock.settings.tree import Settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Resolution:
    """What the settings are, and who says so.

    Args:
        settings: None where they cannot be used.
        said: who decides a setting; one that is not here has its default.
        wrong: every error, on one line each, with what to do.
    """

    settings: Settings | None
    said: Mapping[Path, Said]
    wrong: tuple[str, ...]


def load(**flags: Any) -> Settings:
    """The resolved tree.

    Raises:
        ConfigurationError: names the setting that is wrong, and why; on one line.
    """
    return _usable(resolve(**flags))


def of_project(**flags: Any) -> Settings:
    """As `load`, without the environment and `.env`: the same for everyone who has the project."""
    return _usable(_resolve(flags, dict, {}))


def resolve(**flags: Any) -> Resolution:
    """Reads all sources; what is wrong in one does not hide what is wrong in the next."""
    return _resolve(flags, sources.dotenv, sources.environment())


def _usable(found: Resolution) -> Settings:
    if found.settings is None:
        first, *others = found.wrong
        more = f" (and {len(others)} more: see `penstock config validate`)" if others else ""
        raise ConfigurationError(f"{first}{more}")
    return found.settings


def _resolve(
    flags: Mapping[str, Any], read_dotenv: Callable[[], Variables], environment: Variables
) -> Resolution:
    wrong: list[str] = []
    toml = _readable(sources.toml, wrong)
    dotenv = _readable(read_dotenv, wrong)
    unreadable = bool(wrong)
    said: dict[Path, Said] = {}
    for one in chain(
        toml or (),
        sources.variables(dotenv or {}, sources.DOTENV),
        sources.variables(environment),
        sources.flags(flags),
    ):
        if (mistake := _mistake(one)) is not None:
            wrong.append(mistake)
        elif one.value is not UNSET:
            said[one.path] = one
    names = [(path[:-1], one.value) for path, one in said.items() if _names_a_model(path)]
    for one in chain(
        sources.customary(names, environment),
        sources.customary(names, dotenv or {}, sources.DOTENV),
    ):
        said.setdefault(one.path, one)
    settings = None
    # What seems to be missing may stand in what could not be read.
    if not unreadable:
        try:
            settings = Settings.model_validate(_tree(said.values()))
        except ValidationError as error:
            wrong += (_invalid(one, said) for one in error.errors(include_url=False))
        else:
            wrong += broken(settings)
    return Resolution(None if wrong else settings, said, tuple(wrong))


def _readable(read: Callable[[], T], wrong: list[str]) -> T | None:
    try:
        return read()
    except ConfigurationError as error:
        wrong.append(str(error))
        return None


def _mistake(said: Said) -> str | None:
    """What is wrong with it before it is looked at as a value."""
    if isinstance(said.value, ConfigurationError):
        return str(said.value)
    if said.path[: len(CLIENT)] == CLIENT and said.path != CLIENT and said.path[-1] not in NAMES:
        near = difflib.get_close_matches(said.path[-1], NAMES, 1)
        hint = (
            f"did you mean {said.name((*CLIENT, near[0]))}?"
            if near
            else f"known: {', '.join(sorted(NAMES))}"
        )
        return f"{said.place} is no setting; {hint}"
    if not known(said.path):
        meant = nearest(said.path)
        hint = "" if meant is None else f"; did you mean {said.name(meant)}?"
        return f"{said.place} is no setting{hint}"
    if is_table(said.path) and said.value is not UNSET and said.value != {}:
        return (
            f"{said.place} is a table; set what is in it, such as {said.name(example(said.path))}"
        )
    return None


def _names_a_model(path: Path) -> bool:
    return path == ("model", "name") or (path[0], path[2:]) == ("models", ("name",))


def _tree(said: Iterable[Said]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for one in said:
        table = tree
        for part in one.path[:-1]:
            table = table.setdefault(part, {})
        if one.value == {}:
            # It takes nothing away.
            table.setdefault(one.path[-1], {})
        else:
            table[one.path[-1]] = one.value
    return tree


def _invalid(error: ErrorDetails, said: Mapping[Path, Said]) -> str:
    """Of a value that does not fit; never what a secret is."""
    path = tuple(map(str, error["loc"]))
    if error["type"] == "missing":
        near = next((one for at, one in said.items() if at[: len(path) - 1] == path[:-1]), None)
        where = "" if near is None else f" (beside {near.place})"
        return f"setting {spelt(path)} is missing{where}"
    what = error["msg"].removeprefix("Value error, ")
    given = error["input"]
    if isinstance(given, str | int | float):
        what = f"{what}, not {shown(path, given)!r}"
    source = next((said[path[:end]] for end in range(len(path), 0, -1) if path[:end] in said), None)
    where = "" if source is None else f" ({source.place})"
    return f"setting {spelt(path)}: {what}{where}"
