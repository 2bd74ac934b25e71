"""What a load asks for, and what the model allows of it."""

import pytest

from penstock.local.prompt import ChatRequest
from tests.bench.load import MARKERS_BEFORE, Load
from tests.support.behaviours import Params, reply


def test_the_limit_is_that_of_the_slots_and_the_model() -> None:
    assert Load(questions=1).limit == pytest.approx(64 / 0.515)
    assert Load(questions=1, slots=16, processes=2).limit == pytest.approx(32 / 0.515)


def test_slow_questions_lower_the_limit() -> None:
    load = Load(questions=1, slow=5, slower=20)
    assert load.limit == pytest.approx(64 / (0.95 * 0.515 + 0.05 * 20 * 0.515))
    assert load.settle_ms == pytest.approx(20 * 515)


def test_the_slow_ones_are_so_many_and_the_same_every_time() -> None:
    load = Load(questions=200, slow=5, slower=20)
    ids = load.ids()
    assert [load.times(name) for name in ids].count(20) == 10
    assert ids == Load(questions=200, slow=5, slower=20).ids()
    assert len(set(ids)) == 200


def test_keys_come_in_turn() -> None:
    load = Load(questions=5, keys=2)
    assert [load.key(number) for number in range(3)] == ["k0", "k1", "k0"]
    assert Load(questions=5).key(3) is None


def _asked(load: Load, name: str) -> float:
    """Milliseconds that the model takes for a question."""
    request = ChatRequest(load.model, (("user", f"Why? {name}"),), stream=True)
    paces = Params(load.first_token_ms, load.token_ms, load.words)
    told = reply(request, load.model, paces)
    assert len(told.parts) == load.chunks
    return (told.first_s + (len(told.parts) - 1) * told.token_s) * 1000


@pytest.mark.parametrize("chunks", [16, 64, 2_000])
def test_the_model_says_so_many_chunks_in_that_time(chunks: int) -> None:
    load = Load(questions=1, chunks=chunks)
    assert _asked(load, "q-1") == pytest.approx(load.answer_ms)


def test_the_model_takes_longer_for_the_slow_ones() -> None:
    load = Load(questions=100, slow=50, slower=20)
    for name in load.ids():
        assert _asked(load, name) == pytest.approx(load.answer_ms * load.times(name))


def test_so_many_chunks_come_before_the_first_word() -> None:
    load = Load(questions=1)
    request = ChatRequest(load.model, (("user", "Why?"),), stream=True)
    parts = reply(request, load.model, Params(tokens=load.words)).parts
    assert [b"water" in part for part in parts].index(True) == MARKERS_BEFORE
