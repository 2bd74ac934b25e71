"""DSPy's chat adapter, which says the same of a signature once."""

from enum import Enum
from types import NoneType
from typing import Any, Literal, get_args, get_origin
from weakref import WeakKeyDictionary

import dspy

_PLAIN = (str, int, float, bool, NoneType, list, dict, tuple, set, Any)


class ChatAdapter(dspy.ChatAdapter):  # type: ignore[misc] # DSPy has no types
    """The system message holds nothing of a question, and is a tenth of what DSPy does for one."""

    def __init__(self) -> None:
        # Its fallback would ask again, and be paid for again, without anybody being told.
        super().__init__(use_json_adapter_fallback=False)
        self._said: WeakKeyDictionary[Any, tuple[Any, str]] = WeakKeyDictionary()

    def format_system_message(self, signature: Any) -> str:
        told = _told(signature)
        before = self._said.get(signature)
        if before is not None and before[0] == told:
            return before[1]
        said = str(super().format_system_message(signature))
        if all(_is_plain(field.annotation) for field in signature.model_fields.values()):
            self._said[signature] = told, said
        return said


def _told(signature: Any) -> Any:
    """All that it is made of: programs may change a signature that is there."""
    fields = {
        name: (field.annotation, dict(field.json_schema_extra or {}))
        for name, field in signature.model_fields.items()
    }
    return signature.instructions, fields


def _is_plain(annotation: Any) -> bool:
    """Whether what it says of itself never changes: the schema of a model, or the description of
    a type of DSPy's, is whatever its code makes of it when it is asked.
    """
    if get_origin(annotation) is Literal:
        return True
    if args := get_args(annotation):
        return all(map(_is_plain, args))
    return annotation in _PLAIN or (isinstance(annotation, type) and issubclass(annotation, Enum))
