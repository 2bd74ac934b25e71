"""What takes no time has no thread; what may take some has one."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import dspy
import pytest
import uvloop
from dspy.clients import model_metadata

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


@pytest.mark.parametrize(
    ("prompt", "messages", "options", "here"),
    [
        (None, TEXT, {}, True),
        ("Why?", None, {}, True),
        (None, PICTURE, {}, False),
        (None, ["odd"], {}, False),
        # A request may hold pictures, too.
        (object(), None, {}, False),
        (None, None, {"request": object()}, False),
    ],
)
def test_only_text_is_prepared_without_a_thread(
    prompt: Any, messages: Any, options: Any, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hops, "prepare", _where)

    async def asked() -> int:
        return await asyncio.to_thread(_where, None, prompt, messages, options, asynchronous=True)

    assert (_run(asked) == threading.get_ident()) is here


def test_what_others_hand_to_a_thread_has_one() -> None:
    async def asked() -> tuple[int, int]:
        loop = asyncio.get_running_loop()
        return await asyncio.to_thread(_where), await loop.run_in_executor(None, _where)

    assert threading.get_ident() not in _run(asked)


@pytest.mark.parametrize("known", [True, False])
def test_prices_are_read_in_a_thread(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hops, "_price", _where)
    monkeypatch.setattr(model_metadata, "_data", {} if known else None)

    async def asked() -> int:
        return await asyncio.to_thread(_where, None)

    assert (_run(asked) == threading.get_ident()) is known


def test_what_goes_wrong_is_raised_where_it_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hops, "_price", _raises)
    monkeypatch.setattr(model_metadata, "_data", {})

    async def asked() -> None:
        await asyncio.to_thread(_raises, None)

    with pytest.raises(LookupError, match="no price"):
        _run(asked)


def test_a_question_of_text_is_asked_without_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    async def asked() -> None:
        async with model_server() as server, OURS.built(server, "ok") as built:
            await model_metadata.apreload()
            loop, threads = asyncio.get_running_loop(), []
            monkeypatch.setattr(uvloop.Loop, "run_in_executor", lambda *call: threads.append(call))
            with dspy.context(lm=built.lm, adapter=built.adapter):
                answered = await dspy.Predict("question -> answer").acall(question="Why?")
            assert answered.answer == "You said Why?"
            assert (type(loop), threads) == (Loop, [])

    _run(asked)
