"""Which records are about one question? By any of the names it goes by."""

import re
from collections.abc import Container
from dataclasses import dataclass

from aiokafka import ConsumerRecord

from penstock.events import dead_letter
from penstock.events.envelope import text_header
from penstock.kafka.completed import json_object

_PLACE = re.compile(r"(.+)/(\d{1,9})/(\d{1,18})")


@dataclass(frozen=True, slots=True)
class About:
    """`question_id`: the question's own, or where it stands: `topic/partition/offset`. The latter
    finds a record that stands there itself, too.
    """

    question_id: str

    def __call__(self, record: ConsumerRecord) -> bool:
        wanted = self.question_id
        event = text_header(record.headers, "ce_id")
        if event == wanted or wanted == _place(record.topic, record.partition, record.offset):
            return True
        if event is not None and event.startswith(f"{wanted}/") and _PLACE.fullmatch(wanted):
            # What the service says begins with where the question stands.
            return True
        said = json_object(record.value)
        # Of an event, of a question, of one that is a structured CloudEvent.
        if wanted in (said.get("question_id"), said.get("id"), _at(said, "data").get("id")):
            return True
        source = _at(said, "source")
        if wanted == _place(*map(source.get, ("topic", "partition", "offset"))):
            return True
        origin = dead_letter.origin(record.headers)
        return bool(origin) and wanted == _place(*origin[:3])

    def partition(self, topics: Container[str]) -> int | None:
        """Of the question, where its id says that it stands in one of these."""
        found = _PLACE.fullmatch(self.question_id)
        return int(found[2]) if found is not None and found[1] in topics else None


def _place(topic: object, partition: object, offset: object) -> str:
    return f"{topic}/{partition}/{offset}"


def _at(said: dict[str, object], name: str) -> dict[str, object]:
    inner = said.get(name)
    return inner if isinstance(inner, dict) else {}
