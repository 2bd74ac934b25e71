"""Who is told of what passes through the loop does not end it."""

import pytest

from penstock.core import facts
from penstock.job import Job
from penstock.telemetry import observing
from penstock.telemetry.observing import each
from tests.support.hearing import hear

SAID = (facts.Committed(), facts.CommitFailed())


def fails(_: facts.Event | facts.Command, __: Job | None) -> None:
    raise ValueError("counters can only be incremented by non-negative amounts")


def test_who_fails_is_told_of_once_and_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = hear(monkeypatch, observing)
    seen: list[facts.Event | facts.Command] = []
    observe = each(fails, None, lambda fact, _: seen.append(fact))
    for fact in SAID:
        observe(fact, None)

    assert seen == [*SAID]
    assert [line["of"] for line in heard.lines] == ["Committed"]


def test_who_watches_may_end_it() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        each(watch=fails)(SAID[0], None)
