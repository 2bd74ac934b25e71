"""When is a gateway asked again that has refused, or broken off?"""

import asyncio
import random
from http import HTTPStatus

from penstock.errors import GatewayError

TRIES = 8
"""In a row that nobody answers, or nobody who can serve."""

BASE_SECONDS, CAP_SECONDS = 0.25, 8.0
"""Of the wait between two tries: it doubles, and up to half of it is left to chance."""

PASSES = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.INTERNAL_SERVER_ERROR,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
}
"""What is said of a moment, and not of the request."""

TOLD_WHEN = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
"""What is waited for as long as it takes, where `Retry-After` says how long that is."""


def pause(failed: int, error: GatewayError, chance: float, *, known: bool) -> float | None:
    """Seconds until the next try; None: there is none.

    Args:
        failed: tries in a row that nobody told when to come back, this one included.
        error: how the last one failed.
        chance: from 0 to 1.
        known: the question was seen there: a replica that does not know it reads on.
    """
    if is_told_when(error):
        assert error.retry_after is not None
        # All who were sent away at once do not come back at once.
        return error.retry_after + BASE_SECONDS * chance
    passes = error.status is None or error.status in PASSES
    if not passes and not (known and error.status == HTTPStatus.NOT_FOUND):
        return None
    if failed >= TRIES:
        return None
    whole = min(CAP_SECONDS, BASE_SECONDS * 2.0 ** (failed - 1))
    return whole * (1 + chance) / 2


def is_told_when(error: GatewayError) -> bool:
    return error.status in TOLD_WHEN and error.retry_after is not None


class Tries:
    """Of one question. `until`: the loop's time after which there is none; None: for ever."""

    def __init__(self, until: float | None) -> None:
        self.known = False
        self._until = until
        self._failed = 0

    def heard(self) -> None:
        """It goes well again."""
        self.known = True
        self._failed = 0

    async def again(self, error: GatewayError) -> None:
        """Waits for the next try, or raises the error."""
        self._failed += not is_told_when(error)
        seconds = pause(self._failed, error, random.random(), known=self.known)  # noqa: S311 - no secret
        now = asyncio.get_running_loop().time()
        if seconds is None or (self._until is not None and now + seconds > self._until):
            raise error
        await asyncio.sleep(seconds)
