"""What stands in the topics and in the model server's own log, told to the guarantees in order."""

import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import merge
from itertools import count
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from penstock.core.facts import RecordId
from tests.simulation.guarantees import (
    Bounds,
    Guarantee,
    Identity,
    KeysInOrder,
    NothingLost,
    OneCompletion,
    PaidWorkNotRepeated,
    Place,
    SlotsBounded,
    TokensInOrder,
)
from tests.support.processes import Running, calls
from tests.support.traffic import Event, World, everything

PROMISED: tuple[type[Guarantee], ...] = (
    NothingLost,
    OneCompletion,
    PaidWorkNotRepeated,
    KeysInOrder,
    TokensInOrder,
    SlotsBounded,
)

WINDOW_MS = 600_000
LAST_WORDS_MS = 1_000
"""After its end, in which what a process had sent may still arrive. Nobody else has its
partitions yet: the group waits for it for longer.
"""

Tell = Callable[[Guarantee], None]
Moment = tuple[float, int, Tell]
"""Unix milliseconds, and what is first at the same one."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One record of the questions."""

    question_id: str
    key: str | None
    status: str
    """How it has to end."""
    timestamp: int


class Death(NamedTuple):
    """Monotonic seconds, the same in every process."""

    member: str
    at: float


class Call(NamedTuple):
    """Of the model, by a member. Monotonic seconds; one that was cut off has ended too."""

    place: Place
    member: str
    began: float
    ended: float | None
    cut_off: bool


@dataclass(frozen=True, slots=True)
class Evidence:
    asked: Mapping[Place, Asked]
    deaths: Sequence[Death]
    calls: Sequence[Call]
    completions: Sequence[Event]
    tokens: Sequence[Event]
    dead_letters: Sequence[Event]

    @property
    def repeated_calls(self) -> int:
        return len(self.calls) - len({call.place for call in self.calls})

    @property
    def running_at_deaths(self) -> dict[str, int]:
        """By member that died, the questions it had begun and not ended: whose completion is by
        another or by nobody. More than its slots, where answers waited to be published.
        """
        ended = {_source(event): _member(event.body["model"]) for event in self.completions}
        dead = {death.member for death in self.deaths}
        unfinished = {(c.member, c.place) for c in self.calls if ended.get(c.place) != c.member}
        return Counter(member for member, _ in unfinished if member in dead)

    def lost(self) -> int:
        return len(self.asked.keys() - {_source(event) for event in self.completions})

    def doubled(self) -> int:
        return len(self.completions) - len({_source(event) for event in self.completions})


async def gathered(
    world: World,
    provider: Running,
    asked: Mapping[Place, Asked],
    members: Sequence[str],
    deaths: Sequence[Death],
) -> Evidence:
    """When all members have ended."""
    found = await calls(provider)
    assert found["count"] == len(found["calls"]), "the model server has forgotten calls"
    first = {one.question_id: place for place, one in reversed(list(asked.items()))}
    ours = [call for call in found["calls"] if _member(call["model"]) in members]
    return Evidence(
        asked,
        deaths,
        list(_calls_of(ours, first)),
        await everything(world, "completions"),
        await everything(world, "tokens"),
        await everything(world, "dead_letters"),
    )


def _calls_of(calls: Iterable[dict[str, Any]], first: Mapping[str, Place]) -> Iterator[Call]:
    for call in calls:
        member = _member(call["model"])
        said = re.search(r"\? (\S+)", call["user_message"])
        assert said is not None, call["user_message"]
        # A duplicate is not to be asked, so a call is about the first of an id.
        yield Call(first[said[1]], member, call["started"], call["ended"], call["disconnected"])


def judge(evidence: Evidence, slots: int) -> None:
    """Raises AssertionError, by the name of the guarantee that is broken."""
    watching = [promised(_bounds(evidence, slots)) for promised in PROMISED]
    for _, _, tell in merge(*_streams(evidence), key=lambda moment: moment[:2]):
        for guarantee in watching:
            tell(guarantee)
    for guarantee in watching:
        guarantee.over(time.time() * 1000, [])
    _check_endings(evidence)
    _check_answers(evidence)


def _bounds(evidence: Evidence, slots: int) -> Bounds:
    # Nobody pauses anything here.
    identities = {
        p: Identity(one.question_id, one.timestamp, "") for p, one in evidence.asked.items()
    }
    return Bounds(
        slots=slots,
        held=0,
        ending=0,
        publishing=0,
        silence=0,
        metadata=0,
        map_letters=0,
        window=WINDOW_MS,
        tails_cut_short=False,
        handed_over=False,
        questions=identities,
    )


def _streams(evidence: Evidence) -> Iterator[Iterator[Moment]]:
    """Each in its own order, which for a topic's partition is that of the log."""
    to_wall = (time.time() - time.monotonic()) * 1000
    epochs: defaultdict[str, int] = defaultdict(count(1).__next__)
    partitions = sorted({partition for partition, _ in evidence.asked})

    def record(member: str, place: Place) -> RecordId:
        return RecordId(place[0], epochs[member], place[1])

    def started(call: Call) -> Moment:
        at = call.began * 1000 + to_wall
        mine, key = record(call.member, call.place), evidence.asked[call.place].key
        return at, 1, lambda g: g.started(at, call.member, mine, key, at + WINDOW_MS)

    def ended(call: Call) -> Moment:
        assert call.ended is not None
        at = call.ended * 1000 + to_wall
        mine = record(call.member, call.place)
        return at, 0, lambda g: g.ended(at, call.member, mine)

    yield iter(sorted(map(started, evidence.calls), key=lambda moment: moment[0]))
    over = [call for call in evidence.calls if call.ended is not None]
    yield iter(sorted(map(ended, over), key=lambda moment: moment[0]))
    speakers = _speakers(evidence, to_wall)
    for partition in partitions:
        yield _completed(evidence, partition, speakers, record)
        yield _said(evidence, partition, speakers, record)
        yield _let_go(evidence, partition, to_wall, record)


def _completed(
    evidence: Evidence,
    partition: int,
    speakers: Mapping[str, str],
    record: Callable[[str, Place], RecordId],
) -> Iterator[Moment]:
    for at, event in _in_order(evidence.completions, partition):
        writer = _writer(event)[1]
        member = speakers.get(writer, writer)
        first = event.body["duplicate_of"]
        repeats = None if first is None else first["offset"]
        yield at, 3, _later("completed", at, member, record(member, _source(event)), repeats)


def _said(
    evidence: Evidence,
    partition: int,
    speakers: Mapping[str, str],
    record: Callable[[str, Place], RecordId],
) -> Iterator[Moment]:
    for at, event in _in_order(evidence.tokens, partition):
        place, writer = _writer(event)
        member, body = speakers.get(writer, writer), event.body
        mine = record(member, place)
        yield at, 2, _later("said", at, member, mine, body["sequence"], body["type"])


def _in_order(events: Iterable[Event], partition: int) -> Iterator[tuple[float, Event]]:
    """Of one partition, with times that never go back."""
    at = 0.0
    for event in events:
        if event.partition == partition:
            at = max(at, event.timestamp)
            yield at, event


def _let_go(
    evidence: Evidence,
    partition: int,
    to_wall: float,
    record: Callable[[str, Place], RecordId],
) -> Iterator[Moment]:
    for death in evidence.deaths:
        at = death.at * 1000 + to_wall + LAST_WORDS_MS
        # Without a call, too, it may have said the end of one.
        for place in sorted(evidence.asked):
            if place[0] == partition:
                yield at, 4, _later("let_go", at, death.member, record(death.member, place))


def _later(method: str, *arguments: Any) -> Tell:
    return lambda guarantee: getattr(guarantee, method)(*arguments)


def _speakers(evidence: Evidence, to_wall: float) -> dict[str, str]:
    """Which member writes under which name, where that is not its own but a random one: who says
    something of an answer is who has made the last call.
    """
    by_place: defaultdict[Place, list[Call]] = defaultdict(list)
    for call in evidence.calls:
        by_place[call.place].append(call)
    members = {call.member for call in evidence.calls}
    found: dict[str, str] = {}
    for event in evidence.tokens:
        place, writer = _writer(event)
        if event.body["type"] == "token" and writer not in members:
            # A timestamp has whole milliseconds.
            began = (event.timestamp + 1 - to_wall) / 1000
            [*_, last] = [call for call in by_place[place] if call.began <= began]
            assert found.setdefault(writer, last.member) == last.member, event
    return found


def _check_endings(evidence: Evidence) -> None:
    for event in evidence.completions:
        asked, status = evidence.asked[_source(event)], event.body["status"]
        assert status == asked.status, f"{asked} has {status}: {event.body['error']}"
    failed = {place for place, asked in evidence.asked.items() if asked.status == "failed"}
    kept = {
        (event.partition, int(event.headers["__dlq.errors.offset"]))
        for event in evidence.dead_letters
    }
    assert kept == failed, f"dead letters of {kept ^ failed} are missing or too many"


def _check_answers(evidence: Evidence) -> None:
    """Who drops what was said before a `restart` has the answer, and nothing follows the `end`."""
    said: dict[Place, str] = {}
    last: dict[Place, str] = {}
    for event in evidence.tokens:
        place, body = _writer(event)[0], event.body
        last[place] = body["type"]
        if body["type"] == "restart":
            said[place] = ""
        elif body["type"] == "token":
            said[place] = said.get(place, "") + body["text"]
    for event in evidence.completions:
        place, body = _source(event), event.body
        if body["status"] == "completed":
            assert said[place] == body["answer"], f"{body['question_id']}: {said[place]}"
        if body["status"] != "duplicate":
            assert last[place] == "end", f"{body['question_id']} ends with {last[place]}"


def _source(event: Event) -> Place:
    source = event.body["source"]
    return source["partition"], source["offset"]


def _writer(event: Event) -> tuple[Place, str]:
    """Which question an event is about, and the random name of the process that says it."""
    _, partition, offset, writer, _ = event.headers["ce_id"].decode().split("/")
    return (int(partition), int(offset)), writer


def _member(model: str | None) -> str:
    """The models of a member answer with its name."""
    [name] = parse_qs((model or "").partition("?")[2]).get("text", [""])
    return name
