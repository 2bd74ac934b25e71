"""What a line about a question says of where it comes from."""

import pytest

from penstock.telemetry.journal import CORRELATION_CHARACTERS, _correlation

CE, KAFKA = "ce_correlationid", "kafka_correlationId"


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ((), None),
        (((KAFKA, b"7"),), "7"),
        (((KAFKA, b"7"), (CE, b"8")), "8"),
        (((CE, "größer".encode()),), "größer"),
        (((CE, b"\xff"), (KAFKA, b"7")), "7"),
        (((CE, b"\x1b[31m"),), None),
        (((CE, b"x" * 1000),), "x" * CORRELATION_CHARACTERS),
    ],
)
def test_it_is_found_again_by_what_its_asker_knows(
    headers: tuple[tuple[str, bytes], ...], said: str | None
) -> None:
    assert _correlation(headers) == said
