"""What becomes of a JSON document by a merge patch (RFC 7396)?"""

import json
import math
from typing import Any


def applied(patch: Any, to: Any) -> Any:
    """Names with null are taken away, objects are merged, everything else takes its place."""
    if not isinstance(patch, dict):
        return patch
    found = dict(to) if isinstance(to, dict) else {}
    for name, change in patch.items():
        if change is None:
            found.pop(name, None)
        else:
            found[name] = applied(change, found.get(name))
    return found


def json_object(text: str) -> dict[str, Any]:
    """As it stands, with numbers of any size.

    Raises:
        ValueError: it is none; the message says what it is.
    """
    try:
        found = json.loads(text, parse_constant=_no_number, parse_float=_finite)
    except RecursionError as error:
        raise ValueError("is nested too deep") from error
    except ValueError as error:
        raise ValueError(f"is no JSON ({error})") from error
    if isinstance(found, dict):
        return found
    raise ValueError("is JSON, but no object")


def written(document: dict[str, Any]) -> bytes:
    """Raises ValueError where it has text that no encoding knows."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _finite(text: str) -> float:
    """A larger one would be written as no number."""
    return _no_number(text) if math.isinf(found := float(text)) else found


def _no_number(text: str) -> Any:
    raise ValueError(f"{text} is no number")
