"""What belongs together is found, in whatever order it comes."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from penstock.replay.join import joined

Items = Sequence[tuple[int, str]]


async def stream(items: Items) -> AsyncIterator[tuple[int, str]]:
    for item in items:
        yield item


async def join(left: Items, right: Items) -> list[tuple[int, str, str | None]]:
    return [found async for found in joined(stream(left), stream(right))]


@given(
    st.lists(st.integers(0, 20), unique=True),
    st.lists(st.integers(0, 25)),
)
def test_each_comes_once_with_the_first_that_has_its_key(left: list[int], right: list[int]) -> None:
    said = [(key, f"{key} at {place}") for place, key in enumerate(right)]
    found = asyncio.run(join([(key, str(key)) for key in left], said))
    assert sorted(key for key, _, _ in found) == sorted(left)
    for key, item, other in found:
        assert item == str(key)
        assert other == next((text for k, text in said if k == key), None)


async def test_the_right_is_not_read_to_its_end_for_nothing() -> None:
    read: list[int] = []

    async def endless() -> AsyncIterator[tuple[int, str]]:
        for key in range(1_000_000):
            read.append(key)
            yield key, "said"

    found = [key async for key, _, _ in joined(stream([(0, "a"), (2, "b")]), endless())]
    assert found == [0, 2]
    assert len(read) < 10
