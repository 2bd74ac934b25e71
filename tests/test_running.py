"""What the watch over a running service makes of what it sees, without a Kafka."""

from types import SimpleNamespace
from typing import Any

import pytest

from penstock import running
from penstock.running import Service
from tests.support.hearing import hear


class Member:
    """A service as far as its group goes."""

    def __init__(self) -> None:
        self.now = 0.0
        nothing: Any = None
        self.engine: Any = SimpleNamespace(partitions={0: None}, lease=SimpleNamespace(until=7.0))
        clock: Any = SimpleNamespace(monotonic=lambda: self.now)
        self.source: Any = SimpleNamespace(joined=False, arriving=frozenset())
        build: Any = Service
        self.service: Service = build(
            *(nothing, self.engine, self.source, nothing, nothing, nothing),
            clock,
            drain_seconds=25.0,
            vitals=nothing,
            registry=nothing,
            partitions=1,
        )

    def looks(self, at: float) -> None:
        self.now = at
        self.service._look_at_the_lease()


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


def test_it_says_what_it_waits_for_until_it_has_started_once_and_for_ever() -> None:
    member = Member()
    nobody_knows = "the group has not assigned its partitions yet"
    assert member.service.started() == member.service.ready() == nobody_knows
    member.source.arriving = frozenset({2, 0})
    recovers = "what is done of its partitions is being found out: [0, 2]"
    assert member.service.started() == member.service.ready() == recovers
    member.source.joined = True
    assert member.service.started() is member.service.ready() is None
    member.service.reachable = False
    assert member.service.started() is None
    assert member.service.ready() == "Kafka does not answer"
    member.service.draining = True
    assert member.service.started() is None
    assert member.service.ready() == "draining"
