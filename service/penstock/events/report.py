"""What is known of a question's answer so far; the completion is written from it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.events.completion import Program, Usage


@dataclass(slots=True)
class Report:
    """Filled in by the run, over all attempts."""

    program: Program | None = None
    model: str | None = None
    outputs: dict[str, Any] | None = None
    answer: str | None = None
    usage: Usage = field(default_factory=Usage)
    first_token_at: float | None = None
    """Monotonic seconds."""
    answering: Callable[[], None] = lambda: None
    """Called with the first words of every attempt."""
    requests: int = 0
    """Of the model; those that failed have reported no usage."""
    catch_up: Callable[[], None] = lambda: None
    """Brings `usage` up to date while a run goes on: for whoever concludes without its end."""
    said: dict[str, str] = field(default_factory=dict)
    """By output field, what the last attempt has streamed where it was cut off."""


def answer_of(outputs: Mapping[str, Any]) -> str | None:
    """The output field `answer`, else the last text output."""
    if isinstance(answer := outputs.get("answer"), str):
        return answer
    texts = [value for value in outputs.values() if isinstance(value, str)]
    return texts[-1] if texts else None
