"""What is known of a dead letter, and is there one at this place?"""

import base64
from contextlib import aclosing
from typing import Any

from aiokafka import TopicPartition

from penstock.errors import ConfigurationError
from penstock.events import dead_letter
from penstock.events.again import redrive
from penstock.events.envelope import rfc3339, text_header
from penstock.kafka import codec
from penstock.kafka.codec import Raw
from penstock.kafka.stretch import Reader, Stretch


async def read(topics: Reader, place: TopicPartition, offset: int) -> Raw:
    """The one that stands there.

    Raises:
        ConfigurationError: none does, or no more.
        KafkaError, aiokafka.errors.KafkaError, TimeoutError: it cannot be read.
    """
    at = f"{place.partition}/{offset}"
    log = (await topics.whole([place]))[place]
    if not log.start <= offset < log.end:
        raise ConfigurationError(f"{at}: {_outside(place, log, offset)}")
    stretch = {place: Stretch(offset, log.end)}
    async with aclosing(topics.read("dead letters", stretch)) as records:
        async for record in records:
            if record.offset == offset:
                return codec.raw(record)
            raise ConfigurationError(
                f"{at}: no dead letter stands there, the next one is "
                f"{place.partition}/{record.offset}"
            )
    raise ConfigurationError(f"{at}: no dead letter stands there, nor behind it")


def _outside(place: TopicPartition, log: Stretch, offset: int) -> str:
    if offset < log.start:
        return f"is gone: the first one that the retention has left is {log.start}"
    if log.start == log.end:
        return f"partition {place.partition} of {place.topic} is empty"
    return f"is beyond the end: the last one is {log.end - 1}"


def told(letter: Raw, view: dict[str, Any]) -> dict[str, Any]:
    """All of it, for JSON. What is no text is in base64, under a name that says so. `view`: see
    `penstock.replay.view`.
    """
    again = redrive(letter.headers)
    headers = [{"name": name, **_bytes("value", value)} for name, value in letter.headers]
    return {
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": letter.timestamp_ms,
        "time": rfc3339(letter.timestamp_ms / 1000),
        "kind": view["kind"],
        "code": view["code"],
        "stage": view["stage"],
        "message": dead_letter.message(letter.headers),
        "at": text_header(letter.headers, "penstock-error-at"),
        "attempts": dead_letter.attempts(letter.headers),
        "id": view["id"],
        "program": view["program"],
        "metadata": view["metadata"],
        "origin": origin(letter),
        "redrives": view["redrives"],
        "redrive": None if again is None else again.model_dump(),
        **_bytes("key", letter.key),
        "headers": headers,
        **_bytes("value", letter.value),
    }


def origin(letter: Raw) -> dict[str, Any] | None:
    """The question that it was; None: nothing says it."""
    match dead_letter.origin(letter.headers):
        case (topic, partition, offset, group) if partition.isdecimal() and offset.isdecimal():
            return {
                "topic": topic,
                "partition": int(partition),
                "offset": int(offset),
                "group": group,
            }
    return None


def _bytes(name: str, value: bytes | None) -> dict[str, str | None]:
    match legible(value):
        case None | str() as text:
            return {name: text}
        case illegible:
            return {f"{name}_base64": base64.b64encode(illegible).decode()}


def legible(value: bytes | None) -> str | bytes | None:
    """The text that it is; what is none stays what it is."""
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return value
