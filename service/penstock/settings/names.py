"""Which names are there, and which one was meant?

A path is the way to a setting through the tree: `("pool", "slots")`.
"""

import difflib
import re
from collections.abc import Iterator
from functools import cache
from types import UnionType
from typing import Any, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from penstock.settings.tree import Settings

Path = tuple[str, ...]

_CLIENT = re.compile(r"kafka_(?:client_)?((?:security|sasl|ssl)_.+)")
"""The client's own names, where its table was forgotten."""

FREE = "<name>"
"""In a path: a name of the user's own, that of a program or a model."""


class Name(NamedTuple):
    path: Path
    info: FieldInfo
    is_open: bool
    """Whatever stands below belongs to it, and is for others to know."""


@cache
def names() -> tuple[Name, ...]:
    """Every setting, in the order of the tree; tables of the user's own before what is in them."""
    return tuple(_below((), Settings))


def _below(path: Path, model: type[BaseModel]) -> Iterator[Name]:
    for name, info in model.model_fields.items():
        here = (*path, name)
        inner, free = _table(info.annotation)
        if inner is None or free or info.default is None:
            yield Name(here, info, is_open=free and inner is None)
        if inner is not None:
            yield from _below((*here, FREE) if free else here, inner)


def _table(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Whose names stand in it, if they are ours; and whether they stand below a free name."""
    if get_origin(annotation) in {Union, UnionType}:
        return next(filter(any, map(_table, get_args(annotation))), (None, False))
    if get_origin(annotation) is dict:
        return _table(get_args(annotation)[1])[0], True
    is_table = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    return (annotation if is_table else None), False


def spelt(path: Path) -> str:
    """As in messages and in the reference: `POOL__SLOTS`."""
    return "__".join(path).upper().replace(".", "_")


def known(path: Path) -> bool:
    """Whether it is a setting, a table of them, or what an open one holds."""
    return any(
        _alike(path, name.path[: len(path)]) or (name.is_open and _within(path, name.path))
        for name in names()
    )


def is_table(path: Path) -> bool:
    return any(
        (len(path) < len(name.path) and _alike(path, name.path[: len(path)]))
        or (name.is_open and _alike(path, name.path))
        for name in names()
    )


def example(table: Path) -> Path:
    """A setting that stands in it."""
    found = (n.path for n in names() if _alike(table, n.path[: len(table)]) and n.path != table)
    return (*table, *next((path[len(table) :] for path in found), (FREE,)))


def in_open(path: Path) -> Path:
    """What of it stands below an open setting."""
    found = (path[len(n.path) :] for n in names() if n.is_open and _within(path, n.path))
    return next(found, ())


def nearest(path: Path) -> Path | None:
    """The setting that was meant, as far as one can tell.

    One underscore for two is what most often goes wrong, and says exactly which one was meant.
    """
    said = "__".join(path).lower()
    if found := _CLIENT.fullmatch(re.sub(r"[._]+", "_", said)):
        return "kafka", "client", found[1]
    for name in names():
        pattern = "__".join(map(re.escape, name.path)).replace("__", "_+")
        if found := re.fullmatch(pattern.replace(FREE, "(.+?)"), said):
            return _named(name.path, found.groups())
    settings: dict[str, Path] = {}
    tables: dict[str, Path] = {}
    for name in names():
        own = [part for part, wanted in zip(path, name.path, strict=False) if wanted == FREE]
        if len(own) == name.path.count(FREE):
            meant = _named(name.path, own)
            settings["__".join(meant)] = meant
            tables |= {"__".join(meant[:end]): meant[:end] for end in range(1, len(meant))}
    for candidates in (settings, tables):
        if close := difflib.get_close_matches(said, candidates, 1):
            return candidates[close[0]]
    return None


def _named(path: Path, own: Any) -> Path:
    given = iter(own)
    return tuple(next(given) if part == FREE else part for part in path)


def _within(path: Path, open_one: Path) -> bool:
    return len(path) > len(open_one) and _alike(path[: len(open_one)], open_one)


def _alike(path: Path, own: Path) -> bool:
    return len(path) == len(own) and all(
        part == wanted or (wanted == FREE and part) for part, wanted in zip(path, own, strict=True)
    )
