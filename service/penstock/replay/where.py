"""Which records are wanted? `field=value`, and all must hold."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from penstock.errors import ConfigurationError

UNANSWERED = "unanswered"
"""The status of a question that has no completion."""

QUESTION = ("id", "key", "program", "metadata.*")
"""Fields of a question."""
COMPLETION = ("status", "error.kind", "error.code", "model", "version")
"""Fields of its recorded completion."""
DEAD_LETTER = ("id", "key", "program", "metadata.*", "kind", "code", "stage", "group", "redrives")
"""Fields of a dead letter; `redrives` says how often it was asked again."""

STATUSES = ("completed", "failed", "expired", "cancelled", "duplicate", UNANSWERED)
KINDS = ("RECORD", "ANSWER", "UPSTREAM", "OPERATOR", "DEADLINE", "CANCELLED")
_VALUES = {"status": STATUSES, "kind": KINDS, "error.kind": KINDS}
"""Of fields that have no others."""


class Condition(NamedTuple):
    """Raises nothing: what a record does not have is not equal to anything."""

    field: str
    value: str

    def holds(self, view: Mapping[str, Any]) -> bool:
        """`view`: the record's fields; what is nested, nested."""
        return _text(_at(view, self.field)) == self.value


def parse(texts: Iterable[str], fields: Iterable[str]) -> tuple[Condition, ...]:
    """What `--where` says, of these fields.

    Raises:
        ConfigurationError: a condition is none, or its field is unknown.
    """
    known = tuple(fields)
    return tuple(_condition(text, known) for text in texts)


def holds(conditions: Iterable[Condition], view: Mapping[str, Any]) -> bool:
    """Whether all of them do."""
    return all(condition.holds(view) for condition in conditions)


def _condition(text: str, known: tuple[str, ...]) -> Condition:
    field, equals, value = text.partition("=")
    if not equals:
        raise ConfigurationError(f"--where {text}: write field=value, as in status=failed")
    if not any(field == name or _below(field, name) for name in known):
        near = difflib.get_close_matches(field, known, 1)
        meant = f"; did you mean {near[0]}?" if near else ""
        raise ConfigurationError(
            f"--where {text}: there is no field {field!r}{meant} (known: {', '.join(known)})"
        )
    if value not in (values := _VALUES.get(field, (value,))):
        raise ConfigurationError(f"--where {text}: {field} is one of {', '.join(values)}")
    return Condition(field, value)


def _below(field: str, name: str) -> bool:
    return name.endswith(".*") and field.startswith(name[:-1]) and len(field) >= len(name)


def _at(view: Mapping[str, Any], field: str) -> Any:
    """Names in JSON may have dots themselves."""
    if field in view:
        return view[field]
    for dot in (at for at, letter in enumerate(field) if letter == "."):
        if isinstance(inner := view.get(field[:dot]), Mapping):
            return _at(inner, field[dot + 1 :])
    return None


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return str(value).lower() if isinstance(value, bool) else str(value)
