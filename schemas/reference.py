"""The README's table of settings, written from the settings themselves."""

from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from penstock.settings import ModelSettings, ProgramSettings, Settings

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
README = Path("README.md")
TABLES: dict[str, type[BaseModel]] = {"programs": ProgramSettings, "models": ModelSettings}


def table() -> str:
    rows = ["| Setting | Default | Meaning |", "|---|---|---|"]
    rows += [f"| `{path}` | {default} | {text} |" for path, default, text in _rows("", Settings)]
    return "\n".join(rows)


def readme() -> str:
    """The README with the table as it should be."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _rows(prefix: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, info in model.model_fields.items():
        path = f"{prefix}{name.upper()}"
        inner = _model(info.annotation)
        if name in TABLES:
            yield path, "", info.description or ""
            yield from _rows(f"{path}__<NAME>__", TABLES[name])
        elif inner is ModelSettings:
            yield f"{path}__...", "", info.description or ""
        elif inner is not None:
            yield from _rows(f"{path}__", inner)
        else:
            yield path, _default(info), info.description or ""


def _model(annotation: Any) -> type[BaseModel] | None:
    if get_origin(annotation) in {Union, UnionType}:
        found = [_model(choice) for choice in get_args(annotation)]
        return next((model for model in found if model is not None), None)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return None


def _default(info: FieldInfo) -> str:
    if info.default is PydanticUndefined:
        return "" if info.is_required() else "`{}`"
    if info.default is None:
        return ""
    value = ",".join(info.default) if isinstance(info.default, tuple) else info.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
