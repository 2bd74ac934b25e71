"""Many questions, of which never more are open than wanted."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Self

import pytest

from penstock.client import Asked, Client, Outcome
from penstock.client import batch as batching
from penstock.errors import GatewayError, KafkaError, PublishError, RecordError
from penstock.events.completion import Completion, Source, Timing
from penstock.events.question import Question
from penstock.events.said import Event


class Answering(Client):
    """Answers by itself: `later` when it is let, what it has an error for with that."""

    def __init__(self, **errors: Exception) -> None:
        self.errors = errors
        self.open = 0
        self.most = 0
        self.cancelled = 0
        self.asked: list[Question] = []
        self.keys: list[str | None] = []
        self.later = asyncio.Event()
        self.moved = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    async def cancel(self, question_id: str) -> None: ...

    async def events(
        self, question: Question, key: str | None = None
    ) -> AsyncGenerator[Event, None]:
        self.asked.append(question)
        self.keys.append(key)
        self.open += 1
        self.most = max(self.most, self.open)
        self.moved.set()
        text = question.fields["question"]
        try:
            if error := self.errors.get(text):
                raise error
            if text == "never":
                await asyncio.Future()
            if text == "later":
                await self.later.wait()
            yield completed(question)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.open -= 1

    async def until_open(self, number: int) -> None:
        while self.open < number:
            self.moved.clear()
            await self.moved.wait()


def completed(question: Question) -> Completion:
    assert question.id is not None
    return Completion(
        question_id=question.id,
        status="completed",
        answer=question.fields["question"],
        timing=Timing(queued_ms=0),
        source=Source(topic="t", partition=0, offset=0, timestamp=0, group="g"),
    )


async def test_each_comes_with_what_was_asked() -> None:
    client = Answering()
    own = Question(question="c", id="mine")
    items: list[Any] = ["a", {"question": "b"}, own, ""]
    found: dict[int, tuple[Asked[Any], Outcome]] = {
        asked.index: (asked, outcome)
        async for asked, outcome in client.batch(items, key="k", concurrency=2)
    }

    assert [found[index][0].item for index in range(4)] == items
    for index, answer in enumerate("abc"):
        asked, outcome = found[index]
        assert isinstance(outcome, Completion)
        assert (outcome.answer, outcome.question_id) == (answer, asked.question_id)
    assert found[2][0].question_id == "mine"
    assert isinstance(found[3][1], RecordError)
    assert not any(question.stream for question in client.asked)
    assert client.keys == ["k"] * 3


async def test_no_more_are_open_than_wanted_and_the_next_is_read_when_there_is_room() -> None:
    client = Answering()
    read = 0

    async def endless() -> AsyncIterator[str]:
        nonlocal read
        while True:
            read += 1
            yield "later"

    async with aclosing(client.batch(endless(), concurrency=4)) as answers:
        first = asyncio.create_task(anext(answers))
        await client.until_open(4)
        await turns()
        assert (client.open, read) == (4, 4)

        client.later.set()
        await first
        await turns()
        # Whoever does not take what has ended makes no room.
        assert read == 4
        for _ in range(20):
            await anext(answers)
        await turns()
        assert read <= 21 + 4
    assert client.most == 4
    assert client.open == 0


async def test_who_leaves_a_batch_leaves_all_that_is_open() -> None:
    client = Answering()
    async with aclosing(client.batch(["now", "never", "never"])) as answers:
        await anext(answers)
        waiting = asyncio.create_task(anext(answers))
        await client.until_open(2)
        waiting.cancel()
        await asyncio.wait({waiting})
    assert (client.open, client.cancelled) == (0, 2)


async def turns() -> None:
    """Of the loop, more than anything here takes."""
    for _ in range(100):
        await asyncio.sleep(0)


async def test_answers_come_while_the_next_question_is_waited_for() -> None:
    client = Answering()
    more = asyncio.Event()

    async def slow() -> AsyncIterator[str]:
        yield "first"
        await more.wait()
        yield "last"

    async with aclosing(client.batch(slow())) as answers:
        asked, _ = await anext(answers)
        assert asked.item == "first"
        more.set()
        assert [asked.item async for asked, _ in answers] == ["last"]


async def test_what_concerns_one_alone_is_its_outcome() -> None:
    refused, lost = GatewayError(422, "c", "d"), PublishError("too large")
    client = Answering(refused=refused, lost=lost)
    found = {asked.item: end async for asked, end in client.batch(["refused", "lost", "good"])}
    assert found["refused"] is refused
    assert found["lost"] is lost
    assert isinstance(found["good"], Completion)


@pytest.mark.parametrize(
    "error",
    [KafkaError("gone"), GatewayError(None, "away", "gone"), GatewayError(401, "token", "who?")],
)
async def test_where_none_can_be_asked_any_more_it_ends(error: Exception) -> None:
    client = Answering(bad=error)
    with pytest.raises(type(error), match=str(error.args[0])):
        async for _ in client.batch(iter(["never", "bad"])):
            pass
    assert client.open == 0


async def test_nobody_is_waited_for_longer_than_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "PATIENCE", 0.0)
    client = Answering()
    own = Question(question="never", timeout_ms=1)
    items: list[Any] = [own, "never", "good"]
    found = {asked.index: end async for asked, end in client.batch(items, wait=0.01)}
    assert isinstance(found[0], TimeoutError)
    assert isinstance(found[1], TimeoutError)
    assert isinstance(found[2], Completion)
    assert client.cancelled == 2


async def test_what_breaks_the_questions_breaks_the_batch() -> None:
    def broken() -> Any:
        yield "good"
        raise OSError("the disk is gone")

    async with aclosing(Answering().batch(broken(), concurrency=1)) as answers:
        assert (await anext(answers))[0].item == "good"
        with pytest.raises(OSError, match="disk"):
            await anext(answers)


def test_there_is_no_batch_of_nothing_at_once() -> None:
    with pytest.raises(ValueError, match="1 or more"):
        Answering().batch([], concurrency=0)
