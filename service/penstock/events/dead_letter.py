"""What could not be answered: the original record, byte for byte, and headers that say why.

The names beginning with `__dlq.errors.` are Kafka's own since 4.4 (KIP-1191).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import orjson

from penstock.events.envelope import Headers, text_header
from penstock.events.trace_context import trace_id

Style = Literal["kafka", "spring", "connect"]

ORIGIN = "penstock-origin"

_NAMES = (
    "__dlq.errors.",
    "kafka_dlt-",
    "__connect.errors.",
    "penstock-error-",
    "penstock-first-error-",
    "penstock-attempts",
)
"""How those begin by which a failure is told."""

TRIED = 32
"""Attempts that are told one by one: the first, and the last ones."""


@dataclass(frozen=True, slots=True)
class Tried:
    """One attempt that failed. `at` in RFC 3339."""

    attempt: int
    kind: str
    code: str
    message: str
    at: str


@dataclass(frozen=True, slots=True)
class Cause:
    """Why a record is a dead letter, and where it was.

    Args:
        attempts: how often the program was started.
        tried: those that failed, in their order.
    """

    topic: str
    partition: int
    offset: int
    timestamp: int
    group: str
    attempts: int
    kind: str
    code: str
    stage: str
    message: str
    at: str
    tried: Sequence[Tried] = ()


def dead_letter_headers(
    original: Headers, cause: Cause, style: Style = "kafka"
) -> list[tuple[str, bytes]]:
    """The original headers in their order, then ours; a second failure replaces the first, by
    whichever names that was told.
    """
    said = _STYLES[style](cause) | _ours(cause) | _trace(original)
    stale = _NAMES if origin(original) else ()
    kept = [(n, value) for n, value in original if n not in said and not n.startswith(stale)]
    return [*kept, *said.items()]


def _kafka(cause: Cause) -> dict[str, bytes]:
    """See KIP-1191."""
    return _texts(
        {
            "__dlq.errors.topic": cause.topic,
            "__dlq.errors.partition": str(cause.partition),
            "__dlq.errors.offset": str(cause.offset),
            "__dlq.errors.group": cause.group,
            "__dlq.errors.delivery.count": str(cause.attempts),
            "__dlq.errors.message": cause.message,
        }
    )


def _spring(cause: Cause) -> dict[str, bytes]:
    """As its DeadLetterPublishingRecoverer writes them: numbers are Java's, in big endian."""
    return {
        "kafka_dlt-original-partition": cause.partition.to_bytes(4, "big", signed=True),
        "kafka_dlt-original-offset": cause.offset.to_bytes(8, "big", signed=True),
        "kafka_dlt-original-timestamp": cause.timestamp.to_bytes(8, "big", signed=True),
        **_texts(
            {
                "kafka_dlt-original-topic": cause.topic,
                "kafka_dlt-original-consumer-group": cause.group,
                "kafka_dlt-exception-fqcn": f"{cause.kind}.{cause.code}",
                "kafka_dlt-exception-message": cause.message,
            }
        ),
    }


def _connect(cause: Cause) -> dict[str, bytes]:
    """See KIP-298."""
    return _texts(
        {
            "__connect.errors.topic": cause.topic,
            "__connect.errors.partition": str(cause.partition),
            "__connect.errors.offset": str(cause.offset),
            "__connect.errors.connector.name": cause.group,
            "__connect.errors.task.id": "0",
            "__connect.errors.stage": cause.stage,
            "__connect.errors.class.name": "penstock",
            "__connect.errors.exception.class.name": f"{cause.kind}.{cause.code}",
            "__connect.errors.exception.message": cause.message,
        }
    )


def _ours(cause: Cause) -> dict[str, bytes]:
    said = {
        ORIGIN: f"{cause.topic}/{cause.partition}/{cause.offset}/{cause.group}",
        "penstock-error-kind": cause.kind,
        "penstock-error-code": cause.code,
        "penstock-error-stage": cause.stage,
        "penstock-error-at": cause.at,
    }
    if cause.tried:
        first = cause.tried[0]
        said |= {
            "penstock-first-error-kind": first.kind,
            "penstock-first-error-code": first.code,
            "penstock-first-error-message": first.message,
            "penstock-attempts": _attempts(cause.tried),
        }
    return _texts(said)


def _trace(original: Headers) -> dict[str, bytes]:
    """For people: the context itself is for programs."""
    found = trace_id(original)
    return {} if found is None else {"penstock-error-trace": found.encode()}


def _attempts(tried: Sequence[Tried]) -> str:
    told = tried if len(tried) <= TRIED else [tried[0], *tried[1 - TRIED :]]
    return orjson.dumps(
        [{"attempt": t.attempt, "kind": t.kind, "code": t.code, "at": t.at} for t in told]
    ).decode()


def _texts(said: Mapping[str, str]) -> dict[str, bytes]:
    return {name: value.encode("utf-8", "replace") for name, value in said.items()}


_STYLES: dict[Style, Callable[[Cause], dict[str, bytes]]] = {
    "kafka": _kafka,
    "spring": _spring,
    "connect": _connect,
}


def origin(headers: Headers) -> tuple[str, ...]:
    """Topic, partition, offset and group of the record that this is, whoever's names the others
    are; empty where it is none of ours.
    """
    found = text_header(headers, ORIGIN)
    return () if found is None else tuple(found.split("/", 3))


_NOBODY = Cause("", 0, 0, 0, "", 0, "", "", "", "", "")
_TOLD_BY = tuple(tuple(tell(_NOBODY)) for tell in _STYLES.values())
"""The names by which each style tells a failure, in its order."""

_MESSAGES = (
    "__dlq.errors.message",
    "kafka_dlt-exception-message",
    "__connect.errors.exception.message",
)


def original(headers: Headers) -> Headers:
    """Those that the record had as a question, in their order.

    Ours stand behind them. So what another system's dead letters are told by stays where it was,
    unless it has the very name of one of ours, which took its place.
    """
    names = [name for name, _ in headers]
    if ORIGIN not in names:
        return headers
    at = len(names) - 1 - names[::-1].index(ORIGIN)
    behind = tuple(one for one in headers[at + 1 :] if not one[0].startswith(_NAMES))
    for told in _TOLD_BY:
        if tuple(names[at - len(told) : at]) == told:
            return headers[: at - len(told)] + behind
    # Somebody has put them into another order.
    return tuple(one for one in headers if one[0] != ORIGIN and not one[0].startswith(_NAMES))


def message(headers: Headers) -> str | None:
    """Why it is a dead letter, for people, by whichever name that is told."""
    # The last one: the question may have been a dead letter elsewhere.
    return next(
        (text_header([one], one[0]) for one in reversed(headers) if one[0] in _MESSAGES), None
    )


def attempts(headers: Headers) -> list[dict[str, Any]]:
    """Those that failed, as they are told; none where there were none."""
    try:
        told = orjson.loads(text_header(headers, "penstock-attempts") or "[]")
    except orjson.JSONDecodeError:
        return []
    return [one for one in told if isinstance(one, dict)] if isinstance(told, list) else []
