"""The questions of late, as the console lists them."""

import asyncio

from penstock.gateway.index import Index, Place
from penstock.gateway.routes.recent import AT_ONCE, newest

COUNT = 5 * AT_ONCE


def index() -> Index:
    found = Index(3_600_000, COUNT, 600_000, 1)
    for number in range(COUNT):
        found.asked(f"q{number}", Place(0, number), number)
    return found


async def test_the_newest_come_first_and_no_more_than_are_wanted() -> None:
    found = await newest(index(), lambda entry: entry.timestamp % 2 == 0, 3)
    assert [entry.timestamp for entry in found] == [COUNT - 2, COUNT - 4, COUNT - 6]


async def test_a_search_for_what_is_not_there_holds_up_nobody() -> None:
    known, turns = index(), 0

    async def ask() -> None:
        nonlocal turns
        while True:
            turns += 1
            known.asked(f"new{turns}", Place(0, COUNT + turns), COUNT + turns)
            await asyncio.sleep(0)

    asking = asyncio.create_task(ask())
    assert await newest(known, lambda _: False, 3) == []
    asking.cancel()
    assert turns >= COUNT // AT_ONCE
