"""What could not be answered: the original record, byte for byte, and headers that say why.

The names beginning with `__dlq.errors.` are Kafka's own since 4.4 (KIP-1191).
"""

from penstock.events.envelope import Headers, text_header


def dead_letter_headers(
    original: Headers,
    *,
    topic: str,
    partition: int,
    offset: int,
    group: str,
    attempts: int,
    kind: str,
    code: str,
    stage: str,
    message: str,
    at: str,
) -> list[tuple[str, bytes]]:
    """The original headers in their order, then ours; a second failure replaces the first."""
    said = {
        "__dlq.errors.topic": topic,
        "__dlq.errors.partition": str(partition),
        "__dlq.errors.offset": str(offset),
        "__dlq.errors.group": group,
        "__dlq.errors.delivery.count": str(attempts),
        "__dlq.errors.message": message,
        "penstock-error-kind": kind,
        "penstock-error-code": code,
        "penstock-error-stage": stage,
        "penstock-error-at": at,
    }
    kept = [(name, value) for name, value in original if name not in said]
    return [*kept, *((name, value.encode("utf-8", "replace")) for name, value in said.items())]


def origin(headers: Headers) -> tuple[str | None, ...]:
    """Topic, partition, offset and group of the record that this is."""
    names = ("topic", "partition", "offset", "group")
    return tuple(text_header(headers, f"__dlq.errors.{name}") for name in names)
