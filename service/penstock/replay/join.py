"""What belongs together in two streams that are in about the same order?"""

from collections.abc import AsyncIterator, Hashable
from typing import TypeVar

K = TypeVar("K", bound=Hashable)
L = TypeVar("L")
R = TypeVar("R")


async def joined(
    left: AsyncIterator[tuple[K, L]], right: AsyncIterator[tuple[K, R]]
) -> AsyncIterator[tuple[K, L, R | None]]:
    """Each of the left, once, with the first of the right that has its key, or with None.

    What waits for its other half is in memory: as much as the two are out of step, and whatever of
    the right belongs to nothing.
    """
    waiting: dict[K, L] = {}
    found: dict[K, R] = {}
    lefts, rights = aiter(left), aiter(right)
    more_left = more_right = True
    while more_left or (more_right and waiting):
        # The side that lags behind is read on.
        if more_left and (not more_right or len(waiting) <= len(found)):
            try:
                key, item = await anext(lefts)
            except StopAsyncIteration:
                more_left = False
                continue
            if key in found:
                yield key, item, found.pop(key)
            elif more_right:
                waiting[key] = item
            else:
                yield key, item, None
        elif more_right:
            try:
                key, other = await anext(rights)
            except StopAsyncIteration:
                more_right = False
                for key, item in waiting.items():
                    yield key, item, None
                waiting.clear()
                continue
            if key in waiting:
                yield key, waiting.pop(key), other
            else:
                found.setdefault(key, other)
