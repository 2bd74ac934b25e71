"""Where a redrive goes on, by what its group and its plan say."""

from collections.abc import Mapping
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata

from penstock.errors import ConfigurationError, KafkaError
from penstock.events.control import Redriving
from penstock.kafka.stretch import Stretch
from penstock.replay.checkpoint import Left, left

PLACE = TopicPartition("dead", 0)
LOG = Stretch(0, 100)
PLAN = Redriving(id="all", questions="asked", dead_letters="dead", selection=(), ends={})


class Coordinator:
    """It answers as the admin client hands it on."""

    def __init__(self, said: Mapping[TopicPartition, int]) -> None:
        self._said = said

    async def list_consumer_group_offsets(self, *_: Any, **__: Any) -> Any:
        return {place: OffsetAndMetadata(offset, "") for place, offset in self._said.items()}


async def found(committed: int, planned: int | None, meant: Stretch, log: Stretch = LOG) -> Left:
    before = None if planned is None else PLAN.model_copy(update={"ends": {0: planned}})
    coordinator: Any = Coordinator({PLACE: committed})
    return await left(coordinator, PLAN, before, {PLACE: meant}, {PLACE: log})


@pytest.mark.parametrize(
    ("committed", "planned", "meant", "rest", "before"),
    [
        pytest.param(-1, None, (5, 10), (5, 10), 0, id="begun for the first time"),
        pytest.param(7, 10, (5, 10), (7, 10), 2, id="cut off"),
        pytest.param(10, 10, (5, 10), (10, 10), 5, id="done"),
        pytest.param(10, 10, (5, 20), (10, 20), 5, id="done, and more has come"),
        pytest.param(10, 10, (15, 20), (15, 20), 0, id="done, and the range has moved on"),
        pytest.param(7, 10, (8, 20), (7, 20), 0, id="cut off, and the range has moved on"),
        pytest.param(7, 10, (10, 20), (7, 20), 0, id="cut off, and the range begins behind"),
        pytest.param(7, None, (8, 20), (8, 20), 0, id="begun, but for its plan"),
    ],
)
async def test_it_goes_on_where_it_was(
    committed: int,
    planned: int | None,
    meant: tuple[int, int],
    rest: tuple[int, int],
    before: int,
) -> None:
    assert await found(committed, planned, Stretch(*meant)) == Left(
        {PLACE: Stretch(*rest)}, before, ()
    )


async def test_what_nobody_has_selected_between_two_ranges_does_not_go() -> None:
    cut_off = await found(7, 10, Stretch(15, 20))
    assert cut_off.stretches[PLACE] == Stretch(7, 10)
    assert "the same command once more" in cut_off.notes[0]


async def test_what_the_retention_took_is_gone() -> None:
    assert (await found(7, 10, Stretch(8, 20), Stretch(8, 20))).stretches[PLACE] == Stretch(8, 20)
    assert (await found(7, 10, Stretch(15, 20), Stretch(12, 20))).stretches[PLACE] == (
        Stretch(15, 20)
    )


async def test_a_forgotten_group_is_not_an_error_of_it() -> None:
    """While a group is being loaded the client says that it has no partitions at all."""
    forgotten = await found(-1, 10, Stretch(5, 20))
    assert forgotten.stretches[PLACE] == Stretch(10, 20)
    assert "Kafka has forgotten" in forgotten.notes[0]
    loading: Any = Coordinator({})
    with pytest.raises(KafkaError, match="cannot be read; try again"):
        await left(loading, PLAN, None, {PLACE: Stretch(5, 20)}, {PLACE: LOG})


async def test_a_topic_made_anew_is_another_one() -> None:
    with pytest.raises(ConfigurationError, match="take another --id"):
        await found(30, 30, Stretch(0, 20), Stretch(0, 20))
