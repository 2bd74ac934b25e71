"""How does an answer look on a terminal while it is being written?"""

from typing import Any

import orjson
from rich.console import Console

from penstock.events.token import Progress, Restart, Token

ANSWER = "answer"

# What a model says must not move the cursor or recolour the terminal.
_CONTROL = {code: None for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"}


def plain(text: str) -> str:
    """The text without control characters."""
    return text.translate(_CONTROL)


class Transcript:
    """Prints token events as they come.

    The answer stands as it is, other outputs behind their names, and steps on the way dimmed.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._place: tuple[str, str, int] | None = None
        self._begun = False

    def show(self, event: Any) -> None:
        """Any event about the question; those without words are passed over."""
        if isinstance(event, Token):
            self._token(event)
        elif isinstance(event, Restart):
            self._aside(f"↻ starting over: {event.reason}")
        elif isinstance(event, Progress):
            self._aside(f"· {event.text}")

    def close(self) -> None:
        """Ends the last line."""
        if self._begun:
            self._write("\n")
        self._begun = False
        self._place = None

    def _token(self, token: Token) -> None:
        place = (token.field, token.step, token.call)
        if place != self._place:
            self.close()
            self._place = place
            if not token.output or token.field != ANSWER:
                self._write(f"{token.field}: ", style="dim")
        self._begun = True
        self._write(plain(token.text), style="" if token.output else "dim")

    def _aside(self, text: str) -> None:
        self.close()
        self._write(f"{plain(text)}\n", style="dim")

    def _write(self, text: str, style: str = "") -> None:
        # Exactly this text: no markup, no highlighting, and the terminal wraps.
        self._console.print(
            text, end="", style=style, markup=False, highlight=False, emoji=False, soft_wrap=True
        )


def final(answer: str | None, outputs: dict[str, Any] | None) -> str:
    """What is printed where nobody watches: the answer alone."""
    if answer is not None:
        return answer
    return orjson.dumps(outputs).decode()
