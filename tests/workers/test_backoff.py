"""How long is waited before a worker is started again?"""

import pytest

from penstock.workers.backoff import Backoff

NEVER = None
"""It served."""

DEATHS = {
    "each wait is twice the one before, and 30 s at most": (
        [(NEVER, 10), (12, 13), (15, 20), (NEVER, 30), (40, 41), (72, 73), (103, 104)],
        [1, 2, 4, 8, 16, 30, 30],
    ),
    "a minute well, and it begins anew": ([(0, 1), (2, 3), (10, 70), (71, 72)], [1, 2, 1, 2]),
    "a start that lasts is not well": ([(0, 1), (NEVER, 500)], [1, 2]),
    "nearly a minute is not one": ([(0, 1), (10, 69.9)], [1, 2]),
}


@pytest.mark.parametrize(("deaths", "waits"), DEATHS.values(), ids=DEATHS)
def test_a_worker_that_dies_is_waited_for(
    deaths: list[tuple[float | None, float]], waits: list[float]
) -> None:
    backoff = Backoff()
    assert [backoff.died(since, now) for since, now in deaths] == waits
