"""What comes first: what is waited for, or what makes waiting for it useless?"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


async def unless(
    end: "asyncio.Future[Any]", waiting: Coroutine[Any, Any, T], otherwise: Exception
) -> T:
    """What is waited for. Raises `otherwise` when `end` is done before, which is left as it is."""
    wanted = asyncio.create_task(waiting)
    try:
        await asyncio.wait({wanted, end}, return_when=asyncio.FIRST_COMPLETED)
        if wanted.done():
            return wanted.result()
        raise otherwise
    finally:
        wanted.cancel()
        await asyncio.gather(wanted, return_exceptions=True)
