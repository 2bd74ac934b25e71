"""What the watch over a running service makes of what it sees, without a Kafka."""

from types import SimpleNamespace
from typing import Any

import pytest

from penstock import running
from penstock.running import Service
from tests.support.hearing import hear


class Member:
    """A service as far as its lease goes."""

    def __init__(self) -> None:
        self.now = 0.0
        nothing: Any = None
        self.engine: Any = SimpleNamespace(partitions={0: None}, lease=SimpleNamespace(until=7.0))
        clock: Any = SimpleNamespace(monotonic=lambda: self.now)
        kafka = [nothing] * 4
        self._service = Service(nothing, self.engine, *kafka, clock, 25.0, nothing, nothing)

    def looks(self, at: float) -> None:
        self.now = at
        self._service._look_at_the_lease()


def test_that_it_may_not_speak_for_its_partitions_is_told_once_and_so_is_the_end_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    heard = hear(monkeypatch, running)
    member = Member()
    for at in (6.0, 7.0, 9.0):
        member.looks(at)
    assert [line["event"][:31] for line in heard.lines] == ["the group has not answered for "]
    member.engine.lease.until = 20.0
    member.looks(10.0)
    assert heard.lines[-1]["event"].startswith("the group answers again")
    # They went to others: there is nothing that could go on.
    member.looks(21.0)
    member.engine.partitions = {}
    member.looks(22.0)
    member.engine.partitions, member.engine.lease.until = {1: None}, 30.0
    member.looks(23.0)
    assert len(heard.lines) == 3
