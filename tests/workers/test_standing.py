"""Several workers as one service, at `/statusz`."""

from penstock.events.sums import ProcessStanding, Sums, Worker
from penstock.workers.standing import together


def _worker(number: int, **says: object) -> Worker:
    quiet = ProcessStanding(
        version="1",
        group="answers",
        member_id=f"member-{number}",
        started_at="2026-11-28T00:00:00Z",
        uptime_seconds=1,
        partitions=[],
        paused=[],
        backlog=0,
        waiting=0,
        retrying=0,
        gate_shut=False,
        draining=False,
        questions=Sums(),
    )
    standing = quiet.model_copy(update=says)
    return Worker(worker=number, pid=1, restarts=0, telemetry=None, standing=standing)


def test_what_they_say_adds_up_and_one_shut_gate_shows() -> None:
    workers = [
        _worker(0, partitions=[2, 0], paused=[2], backlog=3, questions=Sums(total=4, completed=4)),
        _worker(1, partitions=[1], waiting=2, gate_shut=True, questions=Sums(total=1, failed=1)),
        Worker(worker=2, pid=None, restarts=1, telemetry=None, standing=None),
    ]
    said = together("answers", "2026-11-28T00:00:00Z", 9.04, workers, draining=False)
    assert (said.partitions, said.paused) == ([0, 1, 2], [2])
    assert (said.backlog, said.waiting, said.gate_shut) == (3, 2, True)
    assert (said.questions.total, said.questions.completed, said.questions.errors) == (5, 4, 1)
    assert (said.member_id, said.uptime_seconds, said.draining) == ("", 9.0, False)
    assert said.workers == workers


def test_before_any_has_begun_there_is_nothing_to_add_up() -> None:
    said = together("answers", "2026-11-28T00:00:00Z", 0, [], draining=True)
    assert (said.questions, said.partitions, said.draining) == (Sums(), [], True)
