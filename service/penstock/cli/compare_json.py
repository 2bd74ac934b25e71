"""What was compared, as lines of JSON: one for each question, and one of type `summary`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import orjson

from penstock.cli.lines import Write, printed
from penstock.replay.comparing import told
from penstock.replay.comparison import Compared


@contextmanager
def as_json() -> Iterator["Json"]:
    """On stdout."""
    with printed() as write:
        yield Json(write)


class Json:
    def __init__(self, write: Write) -> None:
        self._write = write

    def add(self, one: Compared) -> None:
        self._line(told(one))

    def end(self, summary: Mapping[str, Any]) -> None:
        self._line({"type": "summary", **summary})

    def _line(self, said: Mapping[str, Any]) -> None:
        self._write(orjson.dumps(said, option=orjson.OPT_APPEND_NEWLINE))
