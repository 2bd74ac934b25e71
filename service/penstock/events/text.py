"""Text that a model may have broken and JSON in UTF-8 cannot carry."""

from typing import Any


def whole_characters(value: Any) -> Any:
    """Joins surrogate pairs and replaces lone halves by U+FFFD, in a JSON value of any depth."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {whole_characters(key): whole_characters(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [whole_characters(inner) for inner in value]
    return value
