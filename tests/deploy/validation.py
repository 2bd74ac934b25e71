"""Is an object what its API takes? Names that the API does not know are refused: the server would
drop them, and whoever wrote them meant something.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from jsonschema import Draft7Validator

Object = dict[str, Any]

OLDEST, NEWEST = "1.30", "1.37"
"""Of Kubernetes: the chart's `kubeVersion`, and the newest whose API is known here."""

CRDS = Path(__file__).parent / "crds"
"""What no registry of ours carries: schemas of the operators' kinds, cut out of their CRDs; each
says where it is from.
"""


def objects(text: str) -> list[Object]:
    """Those of a stream of YAML documents."""
    return [one for one in yaml.safe_load_all(text) if one]


def validate(one: Object) -> None:
    """Raises an exception that says what is wrong."""
    if (crd := CRDS / f"{one['kind'].lower()}.json").exists():
        described = _described(crd)
        assert one["apiVersion"] == described["apiVersion"], one["apiVersion"]
        Draft7Validator(described["schema"]).validate(one)
        return
    for version in (OLDEST, NEWEST):
        kubernetes_validate.validate(one, version, strict=True)


@cache
def _described(crd: Path) -> Object:
    described: Object = json.loads(crd.read_text())
    return described | {"schema": _strict(described["schema"])}


def _strict(part: Any) -> Any:
    if isinstance(part, list):
        return [_strict(one) for one in part]
    if not isinstance(part, dict):
        return part
    part = {name: _strict(one) for name, one in part.items()}
    is_open = part.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in part
    if part.get("type") == "object" and "properties" in part and not is_open:
        part["additionalProperties"] = False
    return part
