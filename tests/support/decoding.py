"""A codec and a record for it, for tests without Kafka."""

import json
from typing import Any, Literal

from penstock.core.facts import RecordId
from penstock.events.envelope import Headers
from penstock.kafka.codec import Codec, Delivery, Expectation, Raw

NOW = 1_700_000_000.0
MONOTONIC = 50.0
BUDGET = 120.0
LONGEST = 600.0
STRUCTURED: Headers = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
PLAIN: Headers = (("content-type", b"text/plain"),)
NAME = "questions/3/7"
"""The id of a question that has none."""

Ordering = Literal["key", "partition", "none"]
Value = bytes | dict[str, Any] | None


def codec(ordering: Ordering = "key") -> Codec:
    return Codec(
        programs={
            "qa": Expectation(frozenset({"question"}), BUDGET),
            "compare": Expectation(frozenset({"left", "right"}), 5.0),
        },
        default_program="qa",
        ordering=ordering,
        max_timeout=LONGEST,
        id_characters=256,
        metadata_bytes=8 * 1024,
        value_bytes=1024 * 1024,
        forward=frozenset({"ce_correlationid"}),
    )


def decode(
    value: Value,
    headers: Headers = (),
    *,
    key: bytes | None = b"key",
    timestamp_ms: int = int(NOW * 1000),
    by: Codec | None = None,
) -> Delivery:
    body = json.dumps(value).encode() if isinstance(value, dict) else value
    raw = Raw("questions", 3, 7, timestamp_ms, key, body, headers)
    return (by or codec()).decode(RecordId(3, 1, 7), raw, MONOTONIC, NOW)


def event(**attributes: Any) -> dict[str, Any]:
    """A CloudEvent in structured mode; an attribute that is None is left out."""
    data = {"question": "?"}
    whole = {"specversion": "1.0", "id": "e", "source": "/s", "type": "t", "data": data}
    return {name: value for name, value in (whole | attributes).items() if value is not None}
