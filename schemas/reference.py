"""What of the README is written from the program: its tables of settings and of metrics, its pages
of commands; and from what was measured of it the tables of its speed.
"""

from pathlib import Path

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from penstock.settings.names import names, spelt
from penstock.telemetry import metrics
from schemas import commands, performance

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


def families() -> str:
    """Of a process, then of the gateway."""
    rows = ["| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
    rows += [
        f"| `{family.served_as}` | {family.kind} | {_labels(family)} | {family.means} |"
        for family in dict.fromkeys((*metrics.SERVICE, *metrics.GATEWAY))
    ]
    return "\n".join(rows)


def readme() -> str:
    """The README with all as they should be."""
    text = README.read_text()
    written = {
        "settings": table(),
        "metrics": families(),
        "performance": performance.tables(performance.measured()),
        "commands": commands.reference(),
    }
    for name, content in written.items():
        begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{content}\n{end}{after}"
    return text


def _labels(family: metrics.Family) -> str:
    return ", ".join(f"`{label}`" for label in family.labels)


def _default(info: FieldInfo) -> str:
    if info.default is PydanticUndefined:
        # That of PROGRAMS is told in words.
        return "`{}`" if info.default_factory is dict else ""
    if info.default is None:
        return ""
    value = ",".join(info.default) if isinstance(info.default, tuple) else info.default
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
