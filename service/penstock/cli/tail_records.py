"""Which of the records that are read are shown, and with which of them does it end?"""

import heapq
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator

from aiokafka import ConsumerRecord

from penstock.kafka.completed import json_object
from penstock.replay.about import About

ENDS = ("end", "completion")
"""Types of events behind which nothing more is said about a question."""


async def latest(
    records: AsyncIterator[ConsumerRecord], count: int
) -> AsyncGenerator[ConsumerRecord, None]:
    """The last ones of all partitions, by their time, and in order within each of them. No more
    than these are in memory.
    """
    # Who writes a record may say that it is older than the one before.
    at: defaultdict[int, int] = defaultdict(lambda: -1)
    kept: list[tuple[int, int, int, ConsumerRecord]] = []
    async for record in records:
        at[record.partition] = max(at[record.partition], record.timestamp)
        item = (at[record.partition], record.partition, record.offset, record)
        if len(kept) < count:
            heapq.heappush(kept, item)
        else:
            heapq.heappushpop(kept, item)
    for *_, record in sorted(kept):
        yield record


async def said(
    about: About | None,
    standing: AsyncIterator[ConsumerRecord],
    coming: AsyncIterator[ConsumerRecord] | None,
) -> AsyncGenerator[ConsumerRecord, None]:
    """All of them, or those about a question: then it ends with the question."""
    ended = False
    async for record in standing:
        if about is None or about(record):
            ended = about is not None and _ends(record)
            yield record
    if coming is None or ended:
        return
    async for record in coming:
        if about is None:
            yield record
        elif about(record):
            yield record
            if _ends(record):
                return


def _ends(record: ConsumerRecord) -> bool:
    return json_object(record.value).get("type") in ENDS
