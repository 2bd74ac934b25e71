"""What is known of a dead letter?"""

import base64
from typing import Any

from penstock.events import dead_letter
from penstock.events.again import redrive
from penstock.events.envelope import rfc3339, text_header
from penstock.kafka.codec import Raw


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
        "origin": _origin(letter),
        "redrives": view["redrives"],
        "redrive": None if again is None else again.model_dump(),
        **_bytes("key", letter.key),
        "headers": headers,
        **_bytes("value", letter.value),
    }


def _origin(letter: Raw) -> dict[str, Any] | None:
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
    if value is None:
        return {name: None}
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(value).decode()}
