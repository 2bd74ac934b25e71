"""When is another question of no use?"""

from penstock.core.admission import Turn
from penstock.core.board import Board
from penstock.core.breaker import BreakerPolicy
from penstock.core.facts import ONE_CALL, RecordId
from penstock.core.failure import Failure, Kind
from penstock.core.halts import Scope
from penstock.core.limiter import LimiterPolicy
from penstock.core.models import Model, ModelPolicy
from penstock.core.policy import Policy

DOWN = Failure(Kind.UPSTREAM, "connection_lost", "nobody listens")
POLICY = ModelPolicy(BreakerPolicy(failures=2, probe=5), LimiterPolicy("off"))


def board(*models: str) -> Board:
    return Board(Policy(models=dict.fromkeys(models, POLICY)), "us")


def call(offset: int) -> RecordId:
    return RecordId(0, 1, offset)


def fails(model: Model, now: float, offset: int = 7) -> None:
    model.started(call(offset), now)
    model.failed(call(offset), DOWN, ONE_CALL, now)


def test_it_is_where_no_model_may_be_called() -> None:
    ours = board("a", "b")
    for name in ("a", "b"):
        assert not ours.has_questions_enough(0)
        fails(ours.models[name], 0)
        fails(ours.models[name], 0)
    assert ours.has_questions_enough(0)
    assert not ours.has_questions_enough(5)
    for name in ("a", "b"):
        ours.models[name].started(call(8), 5)
    assert ours.has_questions_enough(5)


def test_it_is_not_where_those_we_have_may_be_to_blame() -> None:
    ours = board("a")
    fails(ours.models["a"], 0)
    fails(ours.models["a"], 0)
    fails(ours.models["a"], 5)
    assert not ours.has_questions_enough(6)
    ours.admission.add(call(1), (0, "another"), Turn(0, "qa", "a"))
    assert ours.has_questions_enough(6)
    # One that may not start finds nothing out.
    ours.halts.add(Scope(program="qa"))
    assert not ours.has_questions_enough(6)
    ours.halts.lift(Scope(program="qa"))
    assert ours.admission.take(ours.may, lambda _: None) == call(1)
    # For the third time it is asked again whoever has failed.
    fails(ours.models["a"], 10)
    fails(ours.models["a"], 15)
    assert ours.has_questions_enough(16)
