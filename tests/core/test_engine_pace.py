"""Only so many questions may start in a second."""

from penstock.core import facts
from penstock.core.failure import Kind
from penstock.core.retry import RetryPolicy
from tests.core.driven import UPSTREAM, Driven, fetched, record, start


def test_questions_start_at_their_pace_and_the_engine_says_when() -> None:
    drive = Driven(slots=8, pace=0.1)
    first = [fetched(offset, question_id=str(offset)) for offset in range(4)]
    assert drive(100, *first) == [start(0, 1_100)]
    assert drive.wake_at == 109.9
    assert drive(109) == []
    assert drive(110) == [start(1, 1_110)]
    assert drive(111, facts.Paced(1.0)) == []
    assert drive(112) == [start(2, 1_112)]
    assert drive(112, facts.Paced(None)) == [start(3, 1_112)]


def test_what_runs_again_does_not_wait_for_it() -> None:
    drive = Driven(slots=8, pace=0.001, retry=RetryPolicy(10, 20, {Kind.UPSTREAM: 3}))
    assert drive(100, fetched(0), fetched(1)) == [start(0, 1_100)]
    drive(110, facts.Failed(record(0), UPSTREAM))
    assert drive.wake_at is not None
    assert drive.wake_at < 1_000
    [again] = drive(int(drive.wake_at))
    assert isinstance(again, facts.Start)
    assert (again.record, again.attempt) == (record(0), 2)
