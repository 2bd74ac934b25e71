"""The README's table of settings, written from the settings themselves."""

from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from penstock.settings.names import names, spelt

BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
README = Path("README.md")


def table() -> str:
    rows = ["| Setting | Default | Meaning |", "|---|---|---|"]
    rows += [
        f"| `{spelt(name.path)}` | {_default(name.info)} | {name.info.description or ''} |"
        for name in names()
        # As in MODELS.
        if name.path[:1] != ("model",) or len(name.path) == 1
    ]
    return "\n".join(rows)


def readme() -> str:
    """The README with the table as it should be."""
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


def _default(info: FieldInfo) -> str:
    if info.default is PydanticUndefined:
        # That of PROGRAMS is told in words.
        return "`{}`" if info.default_factory is dict else ""
    if info.default is None:
        return ""
    value = ",".join(info.default) if isinstance(info.default, tuple) else info.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
