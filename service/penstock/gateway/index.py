"""Where do a question, its tokens and its completion stand? What the topics said of the last hour.

It knows places and times, never a text; and it is built anew from the topics at every start.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

from penstock.events.completion import CompletionStatus

EARLY_IDS = 1_000
"""Questions of which tokens were read and they themselves not yet: the topics are read at once."""

SKEW_MS = 60_000
"""By which the clocks of who asks and who answers may differ."""

Status = Literal["queued", "running"] | CompletionStatus


class Place(NamedTuple):
    """Of a record in its topic."""

    partition: int
    offset: int


class Early(NamedTuple):
    """The first token event of a question that is not known yet."""

    place: Place
    sequence: int
    timestamp: int
    asked: Place | None


@dataclass(frozen=True, slots=True)
class Ended:
    """Its completion. `at`: the record's timestamp, in Unix milliseconds."""

    place: Place
    status: CompletionStatus
    at: int
    last_sequence: int | None
    first_token_ms: float | None
    duration_ms: float | None
    code: str | None
    """Of its error."""


@dataclass(slots=True)
class Entry:
    """One question. Times in Unix milliseconds.

    Args:
        question_id: by which it goes.
        place: of its record.
        timestamp: of its record.
        program: that it names.
        fingerprint: of the request it was made of, where its asker may ask the same again.
        tokens: offset of the first token record, where that was seen.
        heard_at: when the last token record was written; None: there is none yet.
        ended: None: not yet.
    """

    question_id: str
    place: Place
    timestamp: int
    program: str | None = None
    fingerprint: str | None = None
    tokens: int | None = None
    first_at: int | None = None
    heard_at: int | None = None
    ended: Ended | None = None

    @property
    def status(self) -> Status:
        """`running` from its first token event on: before, nobody outside the service knows."""
        if self.ended is not None:
            return self.ended.status
        return "queued" if self.heard_at is None else "running"


class Index:
    """The last questions by their ids.

    Args:
        window_ms: how old the record of a question may be.
        ids: how many are known at most.
        repeats_ms: within which the same id in the same partition is a duplicate.
        token_partitions: of the topic.
    """

    def __init__(self, window_ms: int, ids: int, repeats_ms: int, token_partitions: int) -> None:
        self._window_ms = window_ms
        self._ids = ids
        self._repeats_ms = repeats_ms
        self.token_partitions = token_partitions
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._early: OrderedDict[str, Early] = OrderedDict()
        self._newest: dict[str, Entry] = {}
        """By the fingerprint of the request."""
        self._open = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        """From the newest on."""
        return reversed(self._entries.values())

    @property
    def open(self) -> int:
        """Questions that have not ended."""
        return self._open

    def get(self, question_id: str) -> Entry | None:
        return self._entries.get(question_id)

    def made_of(self, fingerprint: str) -> Entry | None:
        """The newest that was made of this request."""
        return self._newest.get(fingerprint)

    def asked(
        self,
        question_id: str,
        place: Place,
        timestamp: int,
        *,
        program: str | None = None,
        fingerprint: str | None = None,
        again: bool = False,
    ) -> None:
        """A record of the questions. `again`: on purpose, as a redriven one."""
        before = self._entries.get(question_id)
        if before is not None:
            if before.place == place:
                # Its completion, or whoever has sent it, was read before it.
                before.program, before.fingerprint = program, fingerprint
                self._remember(before)
                return
            # A duplicate may be read before what it repeats.
            if before.status != "duplicate" or not _behind(place, before.place):
                if not again and self._repeats(before, place, timestamp):
                    return
                if _behind(place, before.place):
                    return
        self._put(Entry(question_id, place, timestamp, program, fingerprint))

    def said(
        self,
        question_id: str,
        place: Place,
        sequence: int,
        timestamp: int,
        asked: Place | None = None,
    ) -> None:
        """A record of the tokens. `asked`: of which question by that id; None: it does not say."""
        entry = self._entries.get(question_id)
        if entry is None or (asked is not None and _behind(entry.place, asked)):
            self._is_early(question_id, Early(place, sequence, timestamp, asked))
            return
        if place.partition != self.tokens_of(entry) or asked not in {None, entry.place}:
            return
        if sequence == 0 and entry.tokens is None:
            entry.tokens = place.offset
        if entry.first_at is None:
            entry.first_at = timestamp
        entry.heard_at = timestamp

    def ended(
        self, question_id: str, asked: Place, asked_at: int, program: str | None, end: Ended
    ) -> Entry | None:
        """A record of the completions, with what it says of its question. Gives what has ended by
        it; None: nothing that counts.
        """
        entry = self._entries.get(question_id)
        repeats = end.status == "duplicate"
        if repeats and entry is not None and entry.place != asked:
            # Its asker is told of the first.
            return None
        if entry is None or (entry.place != asked and self._succeeds(asked, entry)):
            # Read before its question.
            entry = Entry(question_id, asked, asked_at, program)
            self._put(entry)
        if entry.place != asked or entry.ended is not None:
            # Of an older one by that id; or the first completion in the log is the answer.
            return None
        entry.program = program or entry.program
        entry.ended = end
        self._open -= 1
        return entry

    def forget(self, now: int) -> None:
        """What is out of the window, and what is too much. `now`: Unix milliseconds."""
        oldest = now - self._window_ms
        while self._entries:
            entry = next(iter(self._entries.values()))
            if entry.timestamp >= oldest and len(self._entries) <= self._ids:
                return
            self._drop(entry)

    def tokens_of(self, entry: Entry) -> int:
        """The partition of its tokens."""
        return entry.place.partition % self.token_partitions

    def _repeats(self, before: Entry, place: Place, timestamp: int) -> bool:
        near = abs(timestamp - before.timestamp) <= self._repeats_ms
        return place.partition == before.place.partition and near and bool(self._repeats_ms)

    def _succeeds(self, asked: Place, entry: Entry) -> bool:
        """What is found by the id from now on: the newest; but before a duplicate, the first."""
        return entry.status == "duplicate" or not _behind(asked, entry.place)

    def _is_early(self, question_id: str, early: Early) -> None:
        before = self._early.get(question_id)
        if before is None or before.asked != early.asked:
            self._early[question_id] = early
        if len(self._early) > EARLY_IDS:
            self._early.popitem(last=False)

    def _put(self, entry: Entry) -> None:
        before = self._entries.get(entry.question_id)
        if before is not None:
            self._drop(before)
        self._entries[entry.question_id] = entry
        self._remember(entry)
        self._open += 1
        early = self._early.pop(entry.question_id, None)
        if early is not None and early.timestamp >= entry.timestamp - SKEW_MS:
            self.said(entry.question_id, *early)

    def _remember(self, entry: Entry) -> None:
        if entry.fingerprint is not None:
            self._newest[entry.fingerprint] = entry

    def _drop(self, entry: Entry) -> None:
        del self._entries[entry.question_id]
        if entry.fingerprint is not None and self._newest.get(entry.fingerprint) is entry:
            del self._newest[entry.fingerprint]
        self._open -= entry.ended is None


def _behind(place: Place, other: Place) -> bool:
    """In the same partition, and before it."""
    return place.partition == other.partition and place.offset < other.offset
