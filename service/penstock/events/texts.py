"""What does the text of each field look like so far? Token events, folded."""

from typing import Any

from penstock.events.token import Restart, Token


class Texts:
    """The text of every field, as of the last event."""

    def __init__(self) -> None:
        self._pieces: dict[tuple[str, str, int], list[str]] = {}

    def add(self, event: Any) -> None:
        """Any event of one question, in order.

        A restart voids what was said before, and so does a second event numbered 0: after a crash
        another process begins again.
        """
        if isinstance(event, Restart) or getattr(event, "sequence", None) == 0:
            self._pieces.clear()
        if isinstance(event, Token):
            place = (event.field, event.step, event.call)
            self._pieces.setdefault(place, []).append(event.text)

    def __getitem__(self, field: str) -> str:
        return self.fields().get(field, "")

    def fields(self) -> dict[str, str]:
        """Where several calls wrote the same field, the one that began last counts."""
        return {field: "".join(pieces) for (field, _, _), pieces in self._pieces.items()}
