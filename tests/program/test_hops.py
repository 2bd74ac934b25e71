"""What takes no time has no thread; what may take some has one."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import dspy
import pytest
import uvloop

from penstock.program import hops
from penstock.program.hops import Loop
from tests.support.clients import OURS
from tests.support.model_server import model_server

TEXT = [{"role": "user", "content": "Why?"}]
PICTURE = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "a.png"}}]}]


def _where(*_: Any, **__: Any) -> int:
    return threading.get_ident()


def _raises(*_: Any) -> None:
    raise LookupError("no price")


def _run(asked: Callable[[], Any]) -> Any:
    return uvloop.run(asked(), loop_factory=Loop)


@pytest.mark.parametrize(("messages", "here"), [(TEXT, True), (PICTURE, False), (None, True)])
def test_only_what_may_be_read_from_a_file_is_prepared_in_a_thread(
    messages: Any, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hops, "prepare", _where)

    async def asked() -> int:
        return await asyncio.to_thread(_where, None, None, messages, {}, asynchronous=True)

    assert (_run(asked) == threading.get_ident()) is here


def test_what_others_hand_to_a_thread_has_one() -> None:
    async def asked() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(_where), await loop.run_in_executor(None, _where)

    assert threading.get_ident() not in _run(asked)


def test_what_goes_wrong_is_raised_where_it_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hops, "_price", _raises)

    async def asked() -> None:
        await asyncio.to_thread(_raises, None)

    with pytest.raises(LookupError, match="no price"):
        _run(asked)


def test_a_question_of_text_is_asked_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked() -> None:
        async with model_server() as server, OURS.built(server, "ok") as built:
            loop, threads = asyncio.get_running_loop(), []
            monkeypatch.setattr(uvloop.Loop, "run_in_executor", lambda *call: threads.append(call))
            with dspy.context(lm=built.lm, adapter=built.adapter):
                answered = await dspy.Predict("question -> answer").acall(question="Why?")
            assert answered.answer == "You said Why?"
            assert (type(loop), threads) == (Loop, [])

    _run(asked)
