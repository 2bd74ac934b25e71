"""How does a record look on a terminal? One line for whoever reads along."""

from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, NamedTuple

import orjson
from aiokafka import ConsumerRecord
from rich.cells import cell_len
from rich.text import Text

from penstock.cli.narrow import cut_end, cut_middle, narrowed, taken
from penstock.cli.transcript import plain
from penstock.events import dead_letter
from penstock.events.envelope import rfc3339, text_header
from penstock.kafka import codec
from penstock.kafka.completed import json_object
from penstock.replay import view

Said = dict[str, Any]


class Gives(Enum):
    """How a part gives way on a narrow terminal: in this order, to so many cells; 0: left out."""

    TEXT = 16
    ID = 9
    ASIDE = 0


class Part(NamedTuple):
    """`gives`: None: it is whole."""

    text: str
    style: str
    gives: Gives | None = None


_CLOCK = slice(11, None)
"""A time without its day."""

_LONGEST = 2000
"""Characters of what is said: no terminal is wider."""

STATUS = {
    "completed": "green",
    "failed": "red",
    "expired": "yellow",
    "cancelled": "yellow",
    "duplicate": "dim",
}


def line(record: ConsumerRecord, width: int | None = None) -> Text:
    """When, where, about which question, and what it says. `width`: the terminal's, in cells; what
    became of a question, and why, is whole on any that has room for it.
    """
    said = json_object(record.value)
    parts = next(found for kind in _KINDS if (found := list(kind(record, said))))
    when = rfc3339(record.timestamp / 1000) if record.timestamp >= 0 else "-"
    where = f"{record.partition}/{record.offset}"
    what = [part._replace(text=flat) for part in parts if (flat := _one_line(part.text))]
    whole = [Part(when, "dim"), Part(f"{where:>8}", "cyan"), *what]
    shown = whole if width is None else _narrowed(whole, width)
    return Text(" ").join(Text(part.text, part.style) for part in shown)


def _narrowed(parts: list[Part], width: int) -> list[Part]:
    widths = [cell_len(part.text) for part in parts]
    steps = [
        (at, gives.value) for gives in Gives for at, part in enumerate(parts) if part.gives is gives
    ]
    now = narrowed(widths, steps, width, 1)
    if taken(now, 1) > width and (clock := parts[0].text[_CLOCK]):
        now = narrowed([len(clock), *widths[1:]], steps, width, 1)
        parts = [parts[0]._replace(text=clock), *parts[1:]]
    return [
        part._replace(text=(cut_middle if part.gives is Gives.ID else cut_end)(part.text, cells))
        for part, cells in zip(parts, now, strict=True)
        if cells
    ]


def _completion(_: ConsumerRecord, said: Said) -> Iterator[Part]:
    if said.get("type") != "completion":
        return
    status, error = said.get("status"), _object(said, "error")
    yield Part(_text(said.get("question_id")), "bold", Gives.ID)
    yield Part(_text(status), STATUS.get(_text(status), ""))
    yield Part(_text(_object(said, "program").get("name")), "", Gives.ASIDE)
    if (took := _object(said, "timing").get("duration_ms")) is not None:
        yield Part(f"{took:.0f} ms" if isinstance(took, int | float) else "", "dim", Gives.ASIDE)
    if error:
        yield Part(f"{_text(error.get('kind'))} {_text(error.get('code'))}:", "red")
        yield Part(_text(error.get("message")), "", Gives.TEXT)
    else:
        yield Part(_text(said.get("answer") or said.get("outputs")), "", Gives.TEXT)


def _token(_: ConsumerRecord, said: Said) -> Iterator[Part]:
    type_ = said.get("type")
    if type_ not in ("token", "restart", "status", "end") or "sequence" not in said:
        return
    yield Part(_text(said.get("question_id")), "bold", Gives.ID)
    yield Part(f"#{_text(said['sequence'])}", "dim")
    if type_ == "token":
        yield Part(f"{_text(said.get('field'))}:", "" if said.get("output") else "dim")
        # Spaces at either end are part of what is said.
        yield Part(orjson.dumps(said.get("text")).decode(), "", Gives.TEXT)
    elif type_ == "end":
        yield Part("end", "dim")
        yield Part(_text(said.get("status")), STATUS.get(_text(said.get("status")), ""))
    else:
        yield Part(type_, "yellow")
        yield Part(_text(said.get("reason") or said.get("text")), "", Gives.TEXT)


def _dead_letter(record: ConsumerRecord, _: Said) -> Iterator[Part]:
    if text_header(record.headers, "penstock-error-kind") is None:
        return
    found = view.of_dead_letter(codec.raw(record), "")
    yield Part(_text(found["id"]), "bold", Gives.ID)
    yield Part(f"{found['kind']} {found['code']}", "red")
    yield Part(dead_letter.message(tuple(record.headers)) or "", "", Gives.TEXT)


def _question(record: ConsumerRecord, _: Said) -> Iterator[Part]:
    if (asked := view.question(codec.raw(record))) is None:
        return
    own = asked.id or text_header(record.headers, "ce_id")
    yield Part(own or f"{record.topic}/{record.partition}/{record.offset}", "bold", Gives.ID)
    yield Part(asked.program or "", "", Gives.ASIDE)
    if record.key is not None:
        yield Part(f"key {_text(record.key)}", "dim", Gives.ASIDE)
    yield Part(_text(asked.question or asked.inputs), "", Gives.TEXT)


def _anything(record: ConsumerRecord, _: Said) -> Iterator[Part]:
    yield Part("-" if record.key is None else _text(record.key), "bold", Gives.ID)
    if record.value is None:
        yield Part("taken back", "dim")
    else:
        yield Part(_text(record.value), "", Gives.TEXT)


_KINDS: tuple[Callable[[ConsumerRecord, Said], Iterator[Part]], ...] = (
    _completion,
    _token,
    _dead_letter,
    _question,
    _anything,
)


def _object(said: Said, name: str) -> Said:
    inner = said.get(name)
    return inner if isinstance(inner, dict) else {}


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case str():
            return value
        case bytes():
            return value[: 4 * _LONGEST].decode(errors="replace")
        case _:
            return orjson.dumps(value).decode()


def _one_line(text: str) -> str:
    return plain(" ".join(text[:_LONGEST].split()))
