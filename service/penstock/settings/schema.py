"""What may stand in `penstock.toml`? JSON Schema, for editors."""

from typing import Any

from penstock.settings.tree import Settings

# What editors for TOML know.
_DIALECT = "http://json-schema.org/draft-07/schema#"


def schema() -> dict[str, Any]:
    """Nothing is required: what is not in the file may stand in another source."""
    described = Settings.model_json_schema()
    return {"$schema": _DIALECT, **_for_a_file(described), "title": "penstock.toml"}


def _for_a_file(part: Any) -> Any:
    """Without names made of names, and without null, which TOML does not have."""
    if isinstance(part, list):
        return [_for_a_file(one) for one in part if one != {"type": "null"}]
    if not isinstance(part, dict):
        return part
    kept = {
        name: _for_a_file(one)
        for name, one in part.items()
        if name != "required" and not (name == "title" and isinstance(one, str))
        if not (name == "default" and one is None)
    }
    alternatives = kept.get("anyOf", ())
    if len(alternatives) == 1:
        del kept["anyOf"]
        kept = {**alternatives[0], **kept}
    return kept
