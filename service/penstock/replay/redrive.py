"""What of a dead letter goes back to the questions, and what does not?"""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from penstock.errors import RecordError
from penstock.events import dead_letter
from penstock.events.again import REDRIVE, REDRIVES, Redrive, redrives
from penstock.events.envelope import Headers
from penstock.kafka.codec import Raw
from penstock.kafka.sink import size_of
from penstock.replay import merge_patch
from penstock.replay.view import LENIENT


@dataclass(frozen=True, slots=True)
class Policy:
    """Args:
    id: of the redrive.
    questions: the topic that they go back to.
    partitions: that it has.
    limit: bytes of its largest record.
    most: how often one letter is asked again, by whichever redrives.
    patch: a JSON merge patch of the value.
    """

    id: str
    questions: str
    partitions: int
    limit: int
    most: int
    patch: dict[str, Any] | None = None


class Question(NamedTuple):
    """As it was, but for the patch; its headers say that it is asked again."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: Headers


class Refused(NamedTuple):
    """`reason`: the same for all that are refused for it."""

    reason: str


class Elsewhere(NamedTuple):
    """It was a question on another topic."""

    topic: str


def again(letter: Raw, policy: Policy) -> Question | Refused | Elsewhere:
    topic, number, *_ = (*dead_letter.origin(letter.headers), "", "")
    if topic and topic != policy.questions:
        return Elsewhere(topic)
    if (refusal := _refusal(number, letter, policy)) is not None:
        return refusal
    try:
        value = letter.value if policy.patch is None else _edited(letter.value, policy.patch)
    except ValueError as error:
        return Refused(f"the value {error}, as --edit needs")
    if policy.patch is not None and (trouble := _no_question(letter, value)) is not None:
        return Refused(f"edited it is no question: {trouble}")
    count = redrives(letter.headers) + 1
    headers = (*_without_ours(letter.headers), *_ours(letter, policy.id, count))
    if size_of(letter.key, value, list(headers)) > policy.limit:
        return Refused(f"larger than the {policy.limit} bytes that {policy.questions} takes")
    return Question(int(number), letter.key, value, headers)


def _refusal(number: str, letter: Raw, policy: Policy) -> Refused | None:
    """`number`: of the partition that it came from, as its header says."""
    if not number.isdecimal():
        return Refused(f"no header {dead_letter.ORIGIN} says where the question was")
    if int(number) >= policy.partitions:
        return Refused(f"{policy.questions} has no such partition any more")
    if redrives(letter.headers) >= policy.most:
        return Refused(f"redriven {policy.most} times or more before (--max-redrives)")
    return None


def _no_question(letter: Raw, value: bytes | None) -> str | None:
    """What keeps it from being one."""
    try:
        LENIENT.question(replace(letter, value=value))
    except RecordError as error:
        return error.message
    return None


def _without_ours(headers: Headers) -> Headers:
    """As whoever asked wrote them, however often it was redriven."""
    return tuple(one for one in dead_letter.original(headers) if one[0] not in {REDRIVE, REDRIVES})


def _ours(letter: Raw, id_: str, count: int) -> Headers:
    said = Redrive(
        id=id_, topic=letter.topic, partition=letter.partition, offset=letter.offset, count=count
    )
    return ((REDRIVE, said.header), (REDRIVES, str(count).encode()))


def _edited(value: bytes | None, patch: dict[str, Any]) -> bytes:
    """Raises ValueError, with the same words for all of them."""
    try:
        document = merge_patch.json_object((value or b"").decode("utf-8-sig"))
        return merge_patch.written(merge_patch.applied(patch, document))
    except ValueError as error:
        raise ValueError("is no JSON object") from error
