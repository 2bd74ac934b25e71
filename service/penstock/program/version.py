"""Which program is this? A hash of what its prompts are made of."""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import dspy
from pydantic import BaseModel, TypeAdapter

DIGITS = 12

_UNASKED = frozenset({"lm", "traces", "train"})
"""Parts of a predictor's state that are in no prompt."""

_ANY: TypeAdapter[Any] = TypeAdapter(Any)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def content_version(module: dspy.Module) -> str:
    """12 hexadecimal digits, the same in every process: they change with an instruction, a field
    (its name, description or type), a demo, or the name of a predictor.
    """
    content = {name: _parameter(part) for name, part in module.named_parameters()}
    text = json.dumps(_plain(content), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:DIGITS]


def _parameter(part: Any) -> dict[str, Any]:
    state = {name: value for name, value in part.dump_state().items() if name not in _UNASKED}
    if (signature := getattr(part, "signature", None)) is not None:
        # In their order, which is that of the prompt. The state names no field, and no type.
        state["types"] = [[name, _type(info)] for name, info in signature.fields.items()]
        state["outputs"] = list(signature.output_fields)
    return state


def _type(info: Any) -> Any:
    """As a model is told it: a class that gains a field is another type."""
    try:
        return TypeAdapter(info.annotation).json_schema()
    except Exception:  # noqa: BLE001 - types of one's own need not have a schema
        return _ADDRESS.sub("", str(info.annotation))


def _plain(value: Any) -> Any:
    """What JSON can say, without what differs from one process to the next."""
    if isinstance(value, BaseModel):
        value = value.model_dump()
    if isinstance(value, dspy.Example):
        value = value.toDict()
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((_plain(inner) for inner in value), key=repr)
    return _ANY.dump_python(value, mode="json", fallback=lambda one: _ADDRESS.sub("", repr(one)))
