"""Pages from the newest on: each once, in order, and never much is read."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from penstock.clock import Clock
from penstock.kafka.stretch import Stretch
from penstock.replay.newest import AT_ONCE, Bounds, Page, newest

Row = tuple[int, int, int]
"""Timestamp, partition, offset."""


class Logs:
    """Partitions of records; some offsets are gaps."""

    def __init__(self, *partitions: Mapping[int, int], ends: list[int] | None = None) -> None:
        self.partitions = partitions
        self.read_records = 0
        self.whole = {
            TopicPartition("dead", number): Stretch(
                min(log, default=0), ends[number] if ends else max(log, default=-1) + 1
            )
            for number, log in enumerate(partitions)
        }

    async def read(
        self, _: str, stretches: Mapping[TopicPartition, Stretch]
    ) -> AsyncGenerator[Any, None]:
        for place, (start, end) in stretches.items():
            for offset in range(start, end):
                if (timestamp := self.partitions[place.partition].get(offset)) is not None:
                    self.read_records += 1
                    yield SimpleNamespace(
                        topic="dead", partition=place.partition, offset=offset, timestamp=timestamp
                    )

    async def page(
        self,
        ends: Mapping[int, int] | None = None,
        *,
        found: int = 10,
        read: int = 10_000,
        only: Any = lambda _: True,
        clock: Clock | None = None,
    ) -> Page[Row]:
        def take(record: Any) -> Row | None:
            row = (record.timestamp, record.partition, record.offset)
            return row if only(row) else None

        bounds = Bounds(found, read, 5.0)
        reader: Any = self
        return await newest(reader, self.whole, ends, take, bounds, clock or Clock())

    async def all(self, **bounds: Any) -> list[Row]:
        page = await self.page(**bounds)
        rows = list(page.found)
        while page.ends:
            page = await self.page(page.ends, **bounds)
            rows += page.found
        return rows


offsets = st.dictionaries(st.integers(0, 60), st.integers(0, 1000), max_size=40)


@given(st.lists(offsets, min_size=1, max_size=4), st.integers(1, 20))
def test_all_pages_together_are_all_of_them_once(
    partitions: list[dict[int, int]], found: int
) -> None:
    rows = asyncio.run(Logs(*partitions).all(found=found))
    assert sorted((p, o) for _, p, o in rows) == sorted(
        (number, offset) for number, log in enumerate(partitions) for offset in log
    )


@given(st.lists(st.integers(0, 3), max_size=120), st.integers(1, 20))
def test_they_are_in_order_where_the_partitions_are(where: list[int], found: int) -> None:
    partitions: list[dict[int, int]] = [{}, {}, {}, {}]
    for moment, number in enumerate(where):
        partitions[number][len(partitions[number])] = moment
    rows = asyncio.run(Logs(*partitions).all(found=found))
    assert [moment for moment, _, _ in rows] == list(reversed(range(len(where))))


async def test_what_comes_meanwhile_moves_nothing() -> None:
    before = {offset: offset for offset in range(30)}
    first = await Logs(before, {}).page()
    later = Logs({offset: offset for offset in range(40)}, {0: 100})
    second = await later.page(first.ends)
    assert [offset for _, _, offset in second.found] == list(range(19, 9, -1))


async def test_a_page_of_many_reads_not_much_more_than_it_gives() -> None:
    logs = Logs(*({o: 10 * o + n for o in range(50_000)} for n in range(4)))
    assert len((await logs.page(found=50)).found) == 50
    assert logs.read_records <= 2 * 50 + 4
    logs = Logs({o: o for o in range(50_000)}, {}, {}, {})
    assert len((await logs.page(found=50)).found) == 50
    assert logs.read_records <= 150


async def test_a_search_for_what_is_not_there_ends_and_can_go_on() -> None:
    logs = Logs({o: o for o in range(20_000)})
    only: dict[str, Any] = {"only": lambda row: row[2] == 3, "read": 1_000}
    page = await logs.page(**only)
    assert page.found == []
    assert logs.read_records <= 1_000 + AT_ONCE
    pages = 1
    while page.ends and not page.found:
        page, pages = await logs.page(page.ends, **only), pages + 1
    assert page.found == [(3, 0, 3)]
    assert pages > 10


async def test_a_page_ends_in_time() -> None:
    now = iter(range(0, 1000, 2))
    clock = Clock(monotonic=lambda: float(next(now)))
    logs = Logs({o: o for o in range(20_000)})
    page = await logs.page(only=lambda _: False, read=1_000_000, clock=clock)
    assert (page.found, bool(page.ends)) == ([], True)


@pytest.mark.parametrize("ends", [{}, {7: 3}, {0: 0}])
async def test_a_page_that_names_nothing_is_the_last(ends: dict[int, int]) -> None:
    assert await Logs({0: 1, 1: 2}).page(ends) == Page([], {})
