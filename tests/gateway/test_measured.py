"""What a gateway says of its streams and its questions when somebody scrapes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from prometheus_client import CollectorRegistry

from penstock.events.token import encode
from penstock.gateway import fan_out
from penstock.gateway.backlog import Backlog
from penstock.gateway.fan_out import FanOut
from penstock.gateway.figures import Figures
from penstock.gateway.index import Ended, Index, Place
from penstock.gateway.measured import Meters
from penstock.kafka.stretch import Stretch
from penstock.settings import TopicSettings
from penstock.telemetry import metrics
from tests.support.decoding import codec

NOW_MS = 1_800_000_000_000
TOPICS = TopicSettings()
END = 5
STATES = ("open", "ended")


class Still:
    """A clock."""

    def wall(self) -> float:
        return NOW_MS / 1000

    def monotonic(self) -> float:
        return 0.0


class Silent:
    """Topics to which nobody writes any more; as `penstock.kafka.stretch.Reader`."""

    async def whole(self, places: Any) -> dict[Any, Stretch]:
        return dict.fromkeys(places, Stretch(0, END))

    async def since(self, whole: Any, _: float) -> dict[Any, int]:
        return dict.fromkeys(whole, END)

    async def read(self, *_: Any, **__: Any) -> AsyncGenerator[ConsumerRecord, None]:
        nothing: list[ConsumerRecord] = []
        for record in nothing:
            yield record

    async def follow(self, _: Any) -> AsyncIterator[list[ConsumerRecord]]:
        await asyncio.Event().wait()
        yield []


def _token(question_id: str, late_ms: int) -> ConsumerRecord:
    value, at = encode("token", question_id, 0, 1, text="x"), NOW_MS - late_ms
    return ConsumerRecord(TOPICS.tokens, 0, END, at, 0, None, value, None, 0, len(value), ())


async def test_streams_and_questions_are_counted_as_they_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @asynccontextmanager
    async def silent(*_: Any) -> AsyncIterator[Silent]:
        yield Silent()

    monkeypatch.setattr(fan_out, "reader", silent)
    registry, index = CollectorRegistry(), Index(3_600_000, 100, 0, 1)
    meters, still = Meters(registry), Still()
    there = dict.fromkeys((TOPICS.questions, TOPICS.tokens, TOPICS.completions), 1)
    of_time: Any = still
    figures, reads = Figures(0.0), codec()
    fan = FanOut(
        *({}, TOPICS, there, "g", reads, index, Backlog(), figures, of_time, 3_600.0, 600.0),
        delayed=meters.delayed,
    )
    meters.look_at(index, fan)
    says = registry.get_sample_value
    await fan.start()
    try:
        assert says("penstock_gateway_streams") == says("penstock_gateway_streams_behind") == 0
        with fan.stream("a", 0, None), fan.stream("a", 0, 2):
            assert says("penstock_gateway_streams") == 2
            assert says("penstock_gateway_streams_behind") == 1
            fan._token(_token("nobody's", 7_000))
            fan._token(_token("a", 20))
            # Whose clock is ahead of ours.
            fan._token(_token("a", -60_000))
        delay = "penstock_gateway_event_delay_seconds"
        assert says(f"{delay}_count") == 2
        assert says(f"{delay}_sum") == pytest.approx(0.02)
        for offset, name in enumerate("abc"):
            index.asked(name, Place(0, offset), NOW_MS)
        index.ended(
            "a", Place(0, 0), NOW_MS, "qa", Ended(Place(0, 0), "completed", 1, 0, 1.0, 1.0, None)
        )
        found = {state: says("penstock_gateway_questions", {"state": state}) for state in STATES}
        assert found == {"open": 2, "ended": 1}
    finally:
        await fan.stop()


def test_all_of_the_table_is_served() -> None:
    registry = CollectorRegistry()
    meters = Meters(registry)
    fan: Any = type("Fan", (), {"streams": lambda _: (0, 0)})()
    meters.look_at(Index(1, 1, 0, 1), fan)
    served = {family.name: family for family in registry.collect()}
    wanted = {family.name: family for family in metrics.GATEWAY if family is not metrics.BUILD}
    assert served.keys() == wanted.keys()
    for name, family in wanted.items():
        assert (served[name].type, served[name].documentation) == (family.kind, family.means)
