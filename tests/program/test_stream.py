"""One record in flight, the rest merged behind it, nothing lost and nothing out of order."""

import asyncio
import random
from typing import Any

import orjson
import pytest

from penstock.errors import PublishError
from penstock.program.stream import BUFFER, Part, TokenStream

ANSWER = Part("answer", "self", 0, output=True)
REASONING = Part("reasoning", "self", 0, output=False)


class Broker:
    """Acknowledges when told to."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.acknowledgements: list[asyncio.Future[None]] = []
        self.sent = asyncio.Event()

    async def send(self, value: bytes, sequence: int) -> "asyncio.Future[None]":
        event = orjson.loads(value)
        assert event["sequence"] == sequence
        self.events.append(event)
        self.acknowledgements.append(asyncio.get_running_loop().create_future())
        self.sent.set()
        return self.acknowledgements[-1]

    async def acknowledge(self) -> None:
        """The oldest record, and lets what follows from it happen."""
        self.acknowledgements.pop(0).set_result(None)
        for _ in range(4):
            await asyncio.sleep(0)

    @property
    def texts(self) -> list[str]:
        return [event.get("text", event["type"]) for event in self.events]


async def test_the_first_piece_leaves_at_once_and_the_rest_is_merged_until_the_ack() -> None:
    broker = Broker()
    stream = TokenStream("q", broker.send)
    for piece in ("The", " sky", " is", " blue"):
        await stream.say(ANSWER, piece)
    assert broker.texts == ["The"]
    await broker.acknowledge()
    assert broker.texts == ["The", " sky is blue"]
    assert (stream.tokens, stream.merged) == (4, 2)


async def test_pieces_of_different_fields_are_not_merged_and_keep_their_order() -> None:
    broker = Broker()
    stream = TokenStream("q", broker.send)
    for part, piece in ((ANSWER, "a"), (REASONING, "b"), (REASONING, "c"), (ANSWER, "d")):
        await stream.say(part, piece)
    await broker.acknowledge()
    said = [(event["field"], event["text"]) for event in broker.events]
    assert said == [("answer", "a"), ("reasoning", "bc"), ("answer", "d")]


async def test_an_idle_broker_gets_an_event_per_piece() -> None:
    broker = Broker()
    stream = TokenStream("q", broker.send)
    for piece in ("a", "b", "c"):
        await stream.say(ANSWER, piece)
        await broker.acknowledge()
    assert broker.texts == ["a", "b", "c"]


async def test_a_full_buffer_holds_up_the_speaker_until_the_broker_answers() -> None:
    broker = Broker()
    stream = TokenStream("q", broker.send)
    await stream.say(ANSWER, "first")
    speaking = asyncio.ensure_future(stream.say(ANSWER, "x" * BUFFER))
    await asyncio.sleep(0)
    assert not speaking.done()
    assert stream.waited == 0
    await broker.acknowledge()
    await speaking
    assert stream.waited > 0
    assert broker.texts == ["first", "x" * BUFFER]


async def test_the_end_takes_what_is_pending_with_it_and_needs_no_ack_before() -> None:
    broker = Broker()
    stream = TokenStream("q", broker.send)
    for piece in ("a", "b", "c"):
        await stream.say(ANSWER, piece)
    acknowledged = await stream.end("completed")
    assert broker.texts == ["a", "bc", "end"]
    assert stream.last_sequence == 2
    assert not acknowledged.done()
    await stream.say(ANSWER, "too late")
    assert broker.texts == ["a", "bc", "end"]


async def test_a_restart_voids_what_is_pending() -> None:
    broker = Broker()
    stream = TokenStream("q", broker.send)
    await stream.say(ANSWER, "wrong")
    await stream.say(ANSWER, " pending")
    await stream.restart("again")
    await stream.say(ANSWER, "right")
    await broker.acknowledge()
    await broker.acknowledge()
    assert broker.texts == ["wrong", "restart", "right"]
    assert [event["sequence"] for event in broker.events] == [0, 1, 2]


async def test_a_refused_record_is_told_to_the_speaker() -> None:
    broker = Broker()
    stream = TokenStream("q", broker.send)
    await stream.say(ANSWER, "a")
    broker.acknowledgements.pop().set_exception(PublishError("no"))
    await asyncio.sleep(0)
    with pytest.raises(PublishError):
        await stream.say(ANSWER, "b")


async def test_the_end_may_be_sent_again_under_its_own_number() -> None:
    broker = Broker()
    stream = TokenStream("q", broker.send)
    first = await stream.end("failed")
    first.set_exception(PublishError("no"))
    with pytest.raises(PublishError):
        await first
    await stream.end("failed")
    assert [event["sequence"] for event in broker.events] == [0, 0]


async def test_a_cancelled_speaker_leaves_no_gap() -> None:
    broker = Broker()
    gate = asyncio.Event()

    async def slow(value: bytes, sequence: int) -> "asyncio.Future[None]":
        await gate.wait()
        return await broker.send(value, sequence)

    stream = TokenStream("q", slow)
    speaking = asyncio.ensure_future(stream.say(ANSWER, "lost"))
    await asyncio.sleep(0)
    speaking.cancel()
    await asyncio.gather(speaking, return_exceptions=True)
    gate.set()
    await stream.end("expired")
    assert [(event["type"], event["sequence"]) for event in broker.events] == [("end", 0)]


async def test_a_minimum_interval_merges_more_but_not_the_first_token() -> None:
    broker = Broker()
    stream = TokenStream("q", broker.send, interval=lambda: 0.02)
    await stream.say(ANSWER, "first")
    assert broker.texts == ["first"]
    broker.sent.clear()
    await broker.acknowledge()
    for piece in ("a", "b", "c"):
        await stream.say(ANSWER, piece)
    assert broker.texts == ["first"]
    await broker.sent.wait()
    assert broker.texts == ["first", "abc"]


@pytest.mark.parametrize("seed", range(50))
async def test_any_interleaving_is_gap_free_and_complete(seed: int) -> None:
    """Several predictors speak at once while the broker answers when it likes."""
    dice = random.Random(seed)
    broker = Broker()
    stream = TokenStream("q", broker.send)
    said: dict[int, str] = {}

    async def speak(call: int) -> None:
        part = Part("answer", "step", call, output=True)
        for _ in range(dice.randint(1, 20)):
            piece = "".join(dice.choices("abc ", k=dice.choice((1, 5, 3000))))
            said[call] = said.get(call, "") + piece
            await stream.say(part, piece)
            for _ in range(dice.randint(0, 3)):
                await asyncio.sleep(0)

    async def answer() -> None:
        while True:
            if broker.acknowledgements and dice.random() < 0.5:
                await broker.acknowledge()
            await asyncio.sleep(0)

    answering = asyncio.ensure_future(answer())
    await asyncio.gather(*(speak(call) for call in range(3)))
    await stream.end("completed")
    answering.cancel()
    assert [event["sequence"] for event in broker.events] == list(range(len(broker.events)))
    heard: dict[int, str] = {}
    for event in broker.events[:-1]:
        heard[event["call"]] = heard.get(event["call"], "") + event["text"]
    assert heard == said
    assert broker.events[-1]["type"] == "end"
