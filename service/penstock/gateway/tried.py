"""Which question is it that somebody asks again, because he was told nothing of it?"""

from collections import OrderedDict

from penstock.clock import Clock
from penstock.gateway.index import Entry, Index

RETRY_SECONDS = 60.0
"""After its end, or after it was sent, for which a question is found again by a request that is
said to be a retry.
"""

SENT = 1_000
"""Questions that are remembered of which nobody knows whether Kafka has taken them."""


class Tried:
    """By the fingerprints of requests.

    Args:
        index: of what Kafka has taken.
        clock: of the process.
    """

    def __init__(self, index: Index, clock: Clock) -> None:
        self._index = index
        self._clock = clock
        self._sent: OrderedDict[str, tuple[str, float]] = OrderedDict()
        """Its id, and until when it is found."""

    def found(self, fingerprint: str) -> Entry | None:
        """The newest of this request, whose answer cannot have been told yet, or hardly."""
        entry = self._index.made_of(fingerprint)
        if entry is None or entry.ended is None:
            return entry
        since = self._clock.wall() - entry.ended.at / 1000
        return entry if since < RETRY_SECONDS else None

    def sent(self, fingerprint: str) -> str | None:
        """The id of one that Kafka has not acknowledged, and may take yet: by this id it is
        answered once, however often it is sent.
        """
        question_id, until = self._sent.get(fingerprint, ("", 0.0))
        return question_id if self._clock.monotonic() < until else None

    def sending(self, fingerprint: str, question_id: str) -> None:
        """Until it is `acknowledged` nobody knows."""
        self._sent[fingerprint] = question_id, self._clock.monotonic() + RETRY_SECONDS
        self._sent.move_to_end(fingerprint)
        if len(self._sent) > SENT:
            self._sent.popitem(last=False)

    def acknowledged(self, fingerprint: str) -> None:
        """Kafka has taken it."""
        self._sent.pop(fingerprint, None)
