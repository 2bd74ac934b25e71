"""DSPy's chat adapter, which says the same of a signature once."""

from typing import Any
from weakref import WeakKeyDictionary

import dspy


class ChatAdapter(dspy.ChatAdapter):  # type: ignore[misc] # DSPy has no types
    """The system message holds nothing of a question, and is a tenth of what DSPy does for one."""

    def __init__(self) -> None:
        # Its fallback would ask again, and be paid for again, without anybody being told.
        super().__init__(use_json_adapter_fallback=False)
        self._said: WeakKeyDictionary[Any, tuple[Any, str]] = WeakKeyDictionary()

    def format_system_message(self, signature: Any) -> str:
        told = _told(signature)
        before = self._said.get(signature)
        if before is None or before[0] != told:
            before = self._said[signature] = told, super().format_system_message(signature)
        return before[1]


def _told(signature: Any) -> Any:
    """All that it is made of: programs may change a signature that is there."""
    fields = {
        name: (field.annotation, dict(field.json_schema_extra or {}))
        for name, field in signature.model_fields.items()
    }
    return signature.instructions, fields
