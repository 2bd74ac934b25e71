"""The clock here against the one that Kafka tells."""

import pytest

from penstock.clock import Clock
from penstock.finding import Level
from penstock.kafka.admin import admin
from penstock.kafka.clock_skew import Skew, judge, skew
from penstock.kafka.security import client_arguments


@pytest.mark.parametrize(
    ("found", "level"),
    [
        (Skew(0.0, 0.01), Level.OK),
        (Skew(-0.9, 0.0), Level.OK),
        (Skew(1.1, 0.0), Level.WARNING),
        (Skew(-1.1, 0.0), Level.WARNING),
        # As much may be the way there and back.
        (Skew(1.1, 0.2), Level.OK),
        (Skew(5.1, 0.2), Level.WARNING),
        (Skew(5.1, 0.0), Level.WRONG),
        (Skew(-60.0, 1.0), Level.WRONG),
        (None, Level.SKIPPED),
    ],
)
def test_how_bad_it_is(found: Skew | None, level: Level) -> None:
    assert judge(found).level is level


def test_it_says_to_which_side_and_how_far() -> None:
    assert "is 20 ms ahead of Kafka's" in str(judge(Skew(0.02, 0.001)))
    assert "is 7.5 s behind Kafka's" in str(judge(Skew(-7.5, 0.001)))


async def test_kafka_tells_its_time(bootstrap_servers: str) -> None:
    async with admin(client_arguments(bootstrap_servers, {})) as connection:
        right = await skew(connection, Clock().wall)
        late = await skew(connection, lambda: Clock().wall() - 100)
    assert right is not None
    assert late is not None
    # Both clocks are one.
    assert abs(right.ahead) <= right.doubt + 0.002
    assert late.ahead == pytest.approx(-100, abs=late.doubt + 0.002)
    assert judge(late).level is Level.WRONG
