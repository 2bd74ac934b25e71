"""What only a restart mends, and what it would not: each row is one state of a process."""

import pytest

from penstock.telemetry.health import STALLED, UNTRIED, Seen, dead

NOW = 10_000.0
WELL = Seen(turned_at=NOW - 1, slots=4, tried_at=NOW - 0.5, answers_since=0.0)
LONG = NOW - UNTRIED

LIVES = {
    "all is well": WELL,
    "it starts: the loop has not begun, and there is no member yet": Seen(None, 4),
    "an attempt to join waits for the others, then for the next": WELL._replace(tried_at=NOW - 40),
    "the loop is late": WELL._replace(turned_at=NOW - STALLED + 0.1),
    "a slot is left": WELL._replace(abandoned=3),
    "no broker answers": WELL._replace(tried_at=LONG, answers_since=None),
    "they have answered again for a moment": WELL._replace(tried_at=0.0, answers_since=NOW - 1),
    "it has left the group": WELL._replace(tried_at=None),
}

IS_DEAD = {
    "the loop has not turned for 10 s": WELL._replace(turned_at=NOW - STALLED),
    "every slot is held by a program that does not end": WELL._replace(abandoned=4),
    "the Kafka client's task that fetches has ended": WELL._replace(ended="fetches"),
    "Kafka answers, and nothing was done to be a member of the group for 180 s": WELL._replace(
        tried_at=LONG
    ),
    # Since Kafka is back, it has not begun anew.
    "Kafka answers, and nothing was done to be a member of the group for 200 s": WELL._replace(
        tried_at=0.0, answers_since=NOW - 200
    ),
}


@pytest.mark.parametrize("seen", LIVES.values(), ids=LIVES)
def test_a_restart_would_not_help(seen: Seen) -> None:
    assert dead(seen, NOW) is None


@pytest.mark.parametrize(("why", "seen"), IS_DEAD.items(), ids=IS_DEAD)
def test_only_a_restart_helps(why: str, seen: Seen) -> None:
    assert dead(seen, NOW) == why


def test_of_a_client_whose_task_has_ended_even_an_outage_is_no_excuse() -> None:
    seen = WELL._replace(ended="joins the group", answers_since=None)
    assert dead(seen, NOW) == "the Kafka client's task that joins the group has ended"
