"""How is something said once? A send that failed may have arrived all the same, and only the topic
knows.
"""

import asyncio
from collections.abc import Awaitable, Callable

from penstock.errors import PublishError, UnknownOutcomeError

Position = int | None
"""In a partition; None: nobody has said it."""


class Once:
    """One record of one question.

    Args:
        find: where it is, of what was sent since then in Unix seconds; None: nowhere.
        settled: returns when nothing is on its way any more.
        wall: the time, in Unix seconds.
    """

    def __init__(
        self,
        find: Callable[[float], Awaitable[Position]],
        settled: Callable[[], Awaitable[None]],
        wall: Callable[[], float],
    ) -> None:
        self._find = find
        self._settled = settled
        self._wall = wall
        self._sent_at: float | None = None
        """Since when it may be there without an acknowledgement."""

    async def send(self, send: Callable[[], Awaitable[Position]]) -> Position:
        """Call it again where it raises.

        Raises:
            PublishError: it was refused, or nobody knows.
        """
        if self._sent_at is not None:
            try:
                await self._settled()
                position = await self._find(self._sent_at)
            except Exception as error:
                raise PublishError(f"whether it has arrived is not known: {error}") from error
            if position is not None:
                return position
        sent_at = self._wall()
        try:
            return await send()
        except (UnknownOutcomeError, asyncio.CancelledError):
            self._sent_at = self._sent_at or sent_at
            raise
