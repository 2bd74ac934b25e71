"""What follows when a worker has ended, by how it ended and what was asked of it."""

import signal

import pytest

from penstock.workers.ending import Next, follows, told

KILLED = -signal.SIGKILL

# code, asked, began, before
ENDS = {
    "its first start is refused": ((2, False, False, False), Next.ALL_END),
    "an operator is needed": ((4, False, True, False), Next.ALL_END),
    "it fails, after others in its place": ((1, False, True, True), Next.ALL_END),
    "it is killed": ((KILLED, False, True, False), Next.AGAIN),
    "it is killed amid its start": ((KILLED, False, False, False), Next.AGAIN),
    "it alone was told to end, and has drained": ((0, False, True, False), Next.AGAIN),
    "it cannot come back yet: Kafka is away": ((2, False, False, True), Next.AGAIN),
    "it was asked to": ((0, True, True, False), Next.DONE),
    "it fails while it drains": ((1, True, True, True), Next.DONE),
    "it is killed while it drains": ((KILLED, True, True, False), Next.DONE),
}


@pytest.mark.parametrize(("ended", "after"), ENDS.values(), ids=ENDS)
def test_what_follows(ended: tuple[int, bool, bool, bool], after: Next) -> None:
    code, asked, began, before = ended
    assert follows(code, asked=asked, began=began, before=before) is after


def test_how_it_ended_is_told_by_name() -> None:
    assert [told(4), told(KILLED), told(-64)] == ["exit code 4", "SIGKILL", "SIGRTMAX"]
