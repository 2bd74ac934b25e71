"""Which value fits a JSON schema? For what a scripted model says, and what the demo asks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEEPEST = 8
"""Levels after which lists are empty: a schema may refer to itself."""

_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "ada@example.com",
    "uri": "https://example.com",
    "uuid": "12345678-1234-4234-8234-123456789abc",
}


def fitting(schema: Mapping[str, Any], text: str) -> Any:
    """A value for the schema as pydantic writes it: the smallest, with `text` where it may be."""
    return _Fitting(text, schema.get("$defs", {})).value(schema, DEEPEST)


@dataclass(frozen=True, slots=True)
class _Fitting:
    text: str
    definitions: Mapping[str, Any]

    def value(self, schema: Mapping[str, Any], levels: int) -> Any:
        match schema:
            case {"$ref": str(reference)}:
                return self.value(self.definitions[reference.rpartition("/")[2]], levels - 1)
            case {"const": value} | {"enum": [value, *_]}:
                return value
            case {"anyOf": [first, *_]} | {"oneOf": [first, *_]} | {"allOf": [first, *_]}:
                return self.value(first, levels - 1)
            case {"type": "object" | "array"}:
                return self._parts(schema, levels - 1)
            case _:
                return self._plain(schema)

    def _parts(self, schema: Mapping[str, Any], levels: int) -> Any:
        if schema["type"] == "object":
            properties, required = schema.get("properties", {}), schema.get("required", ())
            return {name: self.value(properties[name], levels) for name in required}
        if "prefixItems" in schema:
            return [self.value(part, levels) for part in schema["prefixItems"]]
        return [self.value(schema.get("items", {}), levels)] if levels > 0 else []

    def _plain(self, schema: Mapping[str, Any]) -> Any:
        match schema.get("type"):
            case "integer":
                return int(_between(schema, 7, 1))
            case "number":
                return _between(schema, 0.5, 0.1)
            case "boolean":
                return True
            case "null":
                return None
            case _:
                said: str = _FORMATS.get(schema.get("format", ""), self.text)
                return said[: schema.get("maxLength")]


def _between(schema: Mapping[str, Any], usual: float, step: float) -> float:
    """The usual number, moved to where the schema wants it."""
    least: float = max(
        schema.get("minimum", usual), schema.get("exclusiveMinimum", usual - step) + step
    )
    most: float = min(
        schema.get("maximum", least), schema.get("exclusiveMaximum", least + step) - step
    )
    return min(max(usual, least), most)
