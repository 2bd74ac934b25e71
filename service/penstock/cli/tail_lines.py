"""How does a record look on a terminal? One line for whoever reads along."""

from collections.abc import Callable, Iterator
from typing import Any

import orjson
from aiokafka import ConsumerRecord
from rich.text import Text

from penstock.cli.transcript import plain
from penstock.events import dead_letter
from penstock.events.envelope import rfc3339, text_header
from penstock.kafka import codec
from penstock.kafka.completed import json_object
from penstock.replay import view

Said = dict[str, Any]
Part = tuple[str, str]
"""A text and its style."""

_LONGEST = 2000
"""Characters of what is said: no terminal is wider."""

STATUS = {
    "completed": "green",
    "failed": "red",
    "expired": "yellow",
    "cancelled": "yellow",
    "duplicate": "dim",
}


def line(record: ConsumerRecord) -> Text:
    """When, where, about which question, and what it says."""
    said = json_object(record.value)
    parts = next(found for kind in _KINDS if (found := list(kind(record, said))))
    when = rfc3339(record.timestamp / 1000) if record.timestamp >= 0 else "-"
    where = f"{record.partition}/{record.offset}"
    what = [Text(flat, style) for text, style in parts if (flat := _one_line(text))]
    return Text(" ").join([Text(when, "dim"), Text(f"{where:>8}", "cyan"), *what])


def _completion(_: ConsumerRecord, said: Said) -> Iterator[Part]:
    if said.get("type") != "completion":
        return
    status, error = said.get("status"), _object(said, "error")
    yield _text(said.get("question_id")), "bold"
    yield _text(status), STATUS.get(_text(status), "")
    yield _text(_object(said, "program").get("name")), ""
    if (took := _object(said, "timing").get("duration_ms")) is not None:
        yield f"{took:.0f} ms" if isinstance(took, int | float) else "", "dim"
    if error:
        yield f"{_text(error.get('kind'))} {_text(error.get('code'))}:", "red"
        yield _text(error.get("message")), ""
    else:
        yield _text(said.get("answer") or said.get("outputs")), ""


def _token(_: ConsumerRecord, said: Said) -> Iterator[Part]:
    type_ = said.get("type")
    if type_ not in ("token", "restart", "status", "end") or "sequence" not in said:
        return
    yield _text(said.get("question_id")), "bold"
    yield f"#{_text(said['sequence'])}", "dim"
    if type_ == "token":
        yield f"{_text(said.get('field'))}:", "" if said.get("output") else "dim"
        # Spaces at either end are part of what is said.
        yield orjson.dumps(said.get("text")).decode(), ""
    elif type_ == "end":
        yield "end", "dim"
        yield _text(said.get("status")), STATUS.get(_text(said.get("status")), "")
    else:
        yield type_, "yellow"
        yield _text(said.get("reason") or said.get("text")), ""


def _dead_letter(record: ConsumerRecord, _: Said) -> Iterator[Part]:
    if text_header(record.headers, "penstock-error-kind") is None:
        return
    found = view.of_dead_letter(codec.raw(record), "")
    yield _text(found["id"]), "bold"
    yield f"{found['kind']} {found['code']}", "red"
    yield dead_letter.message(tuple(record.headers)) or "", ""


def _question(record: ConsumerRecord, _: Said) -> Iterator[Part]:
    if (asked := view.question(codec.raw(record))) is None:
        return
    own = asked.id or text_header(record.headers, "ce_id")
    yield own or f"{record.topic}/{record.partition}/{record.offset}", "bold"
    yield asked.program or "", ""
    if record.key is not None:
        yield f"key {_text(record.key)}", "dim"
    yield _text(asked.question or asked.inputs), ""


def _anything(record: ConsumerRecord, _: Said) -> Iterator[Part]:
    yield "-" if record.key is None else _text(record.key), "bold"
    if record.value is None:
        yield "taken back", "dim"
    else:
        yield _text(record.value), ""


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
