"""Where do the records go that are tailed? Through a format, in lines, or as running text."""

import sys
from collections.abc import Callable
from typing import BinaryIO, Protocol

from aiokafka import ConsumerRecord
from pydantic import ValidationError
from rich.console import Console

from penstock.cli.tail_lines import line
from penstock.cli.transcript import Transcript
from penstock.events.envelope import text_header
from penstock.events.token import End, Progress, Restart, TokenEvent


class Show(Protocol):
    """Prints records. Raises BrokenPipeError: nobody reads any more."""

    def __call__(self, record: ConsumerRecord) -> None: ...

    def close(self) -> None:
        """Ends the last line."""


class Bytes:
    """As a format has it, to the byte. `at_once`: somebody waits for every single one."""

    def __init__(
        self, out: BinaryIO, format_: Callable[[ConsumerRecord], bytes], *, at_once: bool
    ) -> None:
        self._out = out
        self._format = format_
        self._at_once = at_once

    def __call__(self, record: ConsumerRecord) -> None:
        self._out.write(self._format(record))
        if self._at_once:
            self._out.flush()

    def close(self) -> None:
        self._out.flush()


class Lines:
    """One for each record, as wide as the terminal."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def __call__(self, record: ConsumerRecord) -> None:
        shown = line(record, self._console.width)
        self._console.print(shown, no_wrap=True, overflow="ellipsis", crop=True)

    def close(self) -> None:
        """Every line has ended."""


class Running:
    """What token events say, as `penstock ask` shows it; other records by `others`.

    An id may have been asked more than once: where another question of that id says something, its
    place is named.
    """

    def __init__(self, console: Console, others: Show) -> None:
        self._transcript = Transcript(console)
        self._others = others
        self._begun: set[str] = set()
        self._stream: str | None = None

    def __call__(self, record: ConsumerRecord) -> None:
        try:
            event = TokenEvent.model_validate_json(record.value or b"").root
        except ValidationError:
            self._transcript.close()
            self._others(record)
            return
        known = {
            "question_id": event.question_id,
            "sequence": event.sequence,
            "attempt": event.attempt,
        }
        stream = _stream(record)
        if self._stream not in {None, stream}:
            self._transcript.show(Progress(text=stream, **known))
        if event.sequence == 0 and stream in self._begun and not isinstance(event, Restart):
            self._transcript.show(Restart(reason="another process has begun anew", **known))
        self._begun.add(stream)
        self._stream = stream
        self._transcript.show(event)
        if isinstance(event, End):
            self._transcript.close()
            print(f"penstock: {event.question_id}: {event.status}", file=sys.stderr, flush=True)

    def close(self) -> None:
        self._transcript.close()
        self._others.close()


def _stream(record: ConsumerRecord) -> str:
    """Where the question stands whose event this is; else where the event does."""
    event = text_header(record.headers, "ce_id") or ""
    return "/".join(event.split("/")[:3]) or f"{record.topic}/{record.partition}"


class Piped(Console):
    """It ends no process whose reader has enough."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
