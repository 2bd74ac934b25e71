"""What starts now?"""

from collections.abc import Collection

from penstock.core import facts
from penstock.core.admission import May
from penstock.core.board import Board
from penstock.core.deadline import earliest
from penstock.core.facts import RecordId
from penstock.core.question import Phase, Question


class Starting:
    """What has a slot, a model that may be called, and time enough to be ours until it is said."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def start(self, now: float) -> None:
        """As many as may."""
        board = self._board
        if not board.admission.has_room:
            return
        models = {
            name: model.breaker.doubts and board.has_fresh(name)
            for name, model in board.models.items()
            if model.calls_now(now)
        }
        while models and (record := self._next(models, now)) is not None:
            question = board.questions[record]
            self._run(record, question, now)
            if not board.models[question.asked.model].calls_now(now):
                del models[question.asked.model]

    def next_at(self, now: float) -> float | None:
        """When a model may be called that may not be called now. Where nothing waits for it, too:
        it is worth fetching a question for.
        """
        times = [model.allows_at(now) for model in self._board.models.values()]
        times.append(self._board.pace.allows_at(now))
        return earliest([at for at in times if at is not None and at > now])

    def _next(self, models: dict[str, bool], now: float) -> RecordId | None:
        """`models` that may be called, and whether those that have failed go last."""
        sure = [model for model, doubts in models.items() if not doubts]
        if (record := self._again(sure, now)) is not None:
            return record
        if (record := self._fresh(models, now)) is not None or len(sure) == len(models):
            return record
        return self._again(models.keys() - set(sure), now)

    def _may(self, models: Collection[str]) -> May:
        board = self._board
        return lambda turn: turn.model in models and board.may(turn)

    def _again(self, models: Collection[str], now: float) -> RecordId | None:
        board, in_time = self._board, now + self._board.policy.flight

        def goes_on(record: RecordId) -> bool:
            until = board.speaks_until(record)
            ours = until is not None and in_time <= until
            question = board.questions[record]
            return ours and board.is_in_time(question, now, board.has_until(record))

        return board.admission.take_again(self._may(models), goes_on)

    def _fresh(self, models: Collection[str], now: float) -> RecordId | None:
        board = self._board
        if now + board.policy.flight > board.lease.until:
            # Others may have our partitions, and start it too.
            return None
        if board.pace.allows_at(now) > now:
            return None
        return board.admission.take(
            self._may(models), lambda number: board.partitions[number].ceiling
        )

    def _run(self, record: RecordId, question: Question, now: float) -> None:
        board = self._board
        question.phase = Phase.RUNNING
        question.attempt += 1
        question.answered = False
        if question.attempt == 1:
            board.pace.started(now)
        if question.expires_at is None:
            question.expires_at = now + question.asked.budget
            board.deadlines.arm(record, question.expires_at)
        if (partition := board.partition_of(record)) is not None:
            partition.begun[record.offset] = record
        board.shrank(record)
        board.models[question.asked.model].started(record, now)
        board.say(facts.Start(record, question.attempt, question.expires_at))
