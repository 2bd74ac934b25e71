"""What is found out about a partition that arrives? As `penstock.kafka.recovery` does it."""

import contextlib
import math
from collections.abc import Sequence

from penstock.core.bookmark import Bookmark
from penstock.core.claims import Claims
from penstock.core.duplicates import Asked
from penstock.core.facts import Recovered
from penstock.core.handover import Run
from penstock.core.offset_map import DoneBeyond
from penstock.kafka import metadata
from penstock.kafka.token_tail import TokenTail
from tests.simulation.log import Completion, LastCommit, Log, TokenEvent


class Search:
    """One partition. Its three steps are taken in order, with time between them.

    Args:
        tail: token events that are read back at most.
        writer: who asks.
        known: it knows the ids, up to its own last commit.
    """

    def __init__(
        self,
        log: Log,
        partition: int,
        window_ms: int,
        tail: int | None,
        *,
        writer: str = "",
        known: bool = False,
    ) -> None:
        self.log = log
        self.partition = partition
        self.window_ms = window_ms
        self.tail = tail
        self.writer = writer
        self.known = known

    def read_commit(self, read_at: float) -> None:
        """`read_at`: by the clock of who asks."""
        log, start = self.log, self.log.starts[self.partition]
        commit = log.commits.get(self.partition, LastCommit(start, ""))
        self.done, self.clean = DoneBeyond(commit.offset), False
        self.bookmark: Bookmark | None = None
        self.runs: tuple[Run, ...] = ()
        self.ours = False
        with contextlib.suppress(metadata.ForeignError):
            last = metadata.read(*commit, read_at)
            self.done, self.bookmark, self.clean = last.done, last.bookmark, last.clean
            self.runs, self.ours = last.runs, last.writer == self.writer
        self.done = self.done.after(max(commit.offset, start))
        # What an operator has reset has a commit that says nothing.
        self.again = self.partition in log.commits and self.bookmark is None
        # Before the first commit nothing is started.
        self.clean |= self.partition not in log.commits

    def read_completions(self, now: float) -> None:
        self.number = len(self.log.completions)
        topic = self.log.completions[self.partition % self.number]
        self.found = list(topic)
        self.end = Bookmark(len(topic), self.number)
        self.begin = len(topic) if self.again else 0
        unread = self.log.readable(self.partition, self.done.committed, now, 1)
        # The first that comes may have an id of so long ago.
        self.since = min([now, *(question.arrives_at for question in unread)]) - self.window_ms

    def arrival(self, now: float) -> tuple[Recovered, TokenTail]:
        """After a last look at the questions: nothing that was read is about one behind it."""
        begin = self.bookmark or Bookmark(self.begin, self.number)
        log_end = self.log.end(self.partition, now)
        claims = Claims(self.done.committed, log_end)
        asked = []
        for position, found in enumerate(self.found):
            if found.partition != self.partition:
                continue
            if found.offset >= self.done.committed:
                if position >= begin.position:
                    claims.add(found.offset, found.timestamp)
            elif found.repeats is None and found.question_id and found.timestamp >= self.since:
                asked.append((found.question_id, _asked(found)))
        tail = TokenTail() if self.clean else self._read_tokens(log_end)
        recovered = Recovered(
            self.done,
            claims,
            begin,
            self.end,
            tail.below,
            None if self.known and self.ours else asked,
            self.runs,
            self.ours,
        )
        return recovered, tail

    def _read_tokens(self, below: int) -> TokenTail:
        topic = self.log.tokens[self.partition % len(self.log.tokens)]
        return token_tail(topic, self.tail, below)


def token_tail(topic: Sequence[TokenEvent], most: int | None, below: int) -> TokenTail:
    """Of that many events at most."""
    tail = TokenTail(below)
    start = 0 if most is None else max(0, len(topic) - most)
    for question_id, sequence, attempt, _ in topic[start:]:
        tail.saw(question_id, sequence, attempt)
    if start > 0:
        tail.read_from = min((said[3] for said in topic[start:]), default=math.inf)
    return tail


def _asked(found: Completion) -> Asked:
    return Asked(found.offset, found.timestamp, found.timestamp)
