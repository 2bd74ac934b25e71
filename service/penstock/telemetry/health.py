"""Does the process live? It does not when only a restart helps, whatever else is wrong: a restart
cuts off what runs and is paid for.
"""

from typing import NamedTuple

STALLED = 10.0
"""Seconds without a turn of the loop, which turns every second."""

UNTRIED = 180.0
"""Seconds in which Kafka answers and the client begins nothing to be a member of the group. Alive,
it sends a heartbeat twice a second, waits for the answer to a join, which it gives up after 40 s,
or asks who the coordinator is. That, and the connection to whom it is told, may meet brokers that
take a connection and say nothing: 40 s each, and it tries three in a row at most while another one
answers. So neither a rebalance counts, however long it is, nor an outage.
"""


class Seen(NamedTuple):
    """Of a process. Times in monotonic seconds.

    Args:
        turned_at: when its loop turned last; None: it has not begun, or has ended.
        slots: how many it has.
        abandoned: runs that do not end although they were told to, each in a slot.
        ended: which task of the Kafka client has ended, as none ever should; None: none has.
        tried_at: when that client last began something to be a member of the group; None: it is to
            be none now.
        answers_since: since when Kafka answers without a break; None: it does not.
    """

    turned_at: float | None
    slots: int
    abandoned: int = 0
    ended: str | None = None
    tried_at: float | None = None
    answers_since: float | None = None


def dead(seen: Seen, now: float) -> str | None:
    """Why only a restart helps; None: it would not."""
    if seen.turned_at is not None and now - seen.turned_at >= STALLED:
        return f"the loop has not turned for {now - seen.turned_at:.0f} s"
    if seen.abandoned >= seen.slots:
        return "every slot is held by a program that does not end"
    if seen.ended is not None:
        return f"the Kafka client's task that {seen.ended} has ended"
    if seen.tried_at is None or seen.answers_since is None:
        return None
    idle = now - max(seen.tried_at, seen.answers_since)
    if idle >= UNTRIED:
        return f"Kafka answers, and nothing was done to be a member of the group for {idle:.0f} s"
    return None
