"""How far is this machine's clock from Kafka's?

The brokers stamp records, or their producers do, and the service reads the stamps by its own clock:
a question's own deadline, and until when it stays cancelled, are off by what the clocks are. What
was said before a crash is looked for with `CLOCK_SKEW` to spare, beyond which it is not found, and
paid for again; two machines may be off to both sides.

No record is written to find out: Kafka's active controller tells its time.
"""

from collections.abc import Callable
from typing import NamedTuple

from aiokafka.admin import AIOKafkaAdminClient

from penstock.finding import Finding, Level
from penstock.kafka.describe import controllers_time

WARNING_SECONDS = 1.0
"""Nobody needs a deadline that is more exact; clocks that are kept differ by milliseconds."""

WRONG_SECONDS = 5.0
"""What has to be answered within seconds expires unread, or is not stopped."""

TRIES = 3
"""The one that was answered soonest tells most."""

ABOUT = "this machine's clock"


class Skew(NamedTuple):
    """`ahead` of Kafka's, in seconds, give or take `doubt`."""

    ahead: float
    doubt: float


async def skew(connection: AIOKafkaAdminClient, wall: Callable[[], float]) -> Skew | None:
    """None: Kafka does not tell its time, or not us. `wall`: the time here, in Unix seconds."""
    found: list[Skew] = []
    for _ in range(TRIES):
        asked = wall()
        there = await controllers_time(connection)
        heard = wall()
        if there is None:
            return None
        found.append(Skew((asked + heard) / 2 - there, (heard - asked) / 2))
    return min(found, key=lambda skew: skew.doubt)


def judge(skew: Skew | None) -> Finding:
    if skew is None:
        return Finding(
            Level.SKIPPED,
            ABOUT,
            "is not compared with Kafka's, which tells its time only with the right Describe on "
            "the cluster (and since 3.3)",
        )
    apart = abs(skew.ahead)
    said = f"is {_seconds(apart)} {'ahead of' if skew.ahead > 0 else 'behind'} Kafka's"
    # What the doubt may explain is nobody's fault.
    if apart - skew.doubt <= WARNING_SECONDS:
        return Finding(Level.OK, ABOUT, said)
    level = Level.WRONG if apart - skew.doubt > WRONG_SECONDS else Level.WARNING
    return Finding(
        level, ABOUT, f"{said}, and so much are deadlines off", "synchronize both (NTP, chrony)"
    )


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
