"""What is a replay to do? Its plan, written once to the control topic and the same for everybody.

The offsets are frozen in it: what is asked meanwhile, or where a filter would match by now, changes
nothing.
"""

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from aiokafka import TopicPartition
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from penstock.errors import ConfigurationError, KafkaError
from penstock.kafka.stretch import Stretch
from penstock.replay import selection
from penstock.replay.selection import Selection

KEY = "replay/"
"""And the id: the key of the plan."""
LIMIT = 900_000
"""Bytes of a plan: a record of the control topic, by Kafka's default."""
_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_PREFIX = re.compile(r"[A-Za-z0-9._-]{1,200}")


class Part(BaseModel):
    """What is wanted of one partition of the questions."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    partition: Annotated[int, Field(ge=0)]
    start: Annotated[int, Field(ge=0)] = Field(description="The first offset.")
    end: Annotated[int, Field(ge=0)] = Field(description="One past the last.")
    offsets: str | None = Field(
        None,
        description="Where not all between are wanted: a bit for each, the lowest of the first "
        "byte for `start`; deflated (zlib), in base 85 (RFC 1924's letters).",
    )


class Plan(BaseModel):
    """A replay: which questions, and who answers them where."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: Literal["replay"] = "replay"
    id: str
    created_at: int = Field(description="Unix milliseconds.")
    questions: str = Field(description="The topic they stand in.")
    group: str = Field(description="The consumer group of who answers them again.")
    original_group: str = Field(description="The group of who has answered them first.")
    tokens: str = Field(description="The topic of what is said.")
    completions: str = Field(description="The topic where they end.")
    dead_letters: str = Field(description="The topic of what is given up again.")
    parts: list[Part]
    program: str | None = Field(None, description="That answers them all; null: each its own.")
    model: str | None = Field(None, description="That is asked, one of MODELS; null: each its own.")
    rate: float | None = Field(None, description="Questions a second, of all members together.")
    words: list[str] = Field([], description="The command line that has made it, for people.")

    @cached_property
    def selections(self) -> Mapping[int, Selection]:
        """By partition. Raises ConfigurationError where they are not whole."""
        return {p.partition: selection.read(p.start, p.end, p.offsets) for p in self.parts}

    @cached_property
    def records(self) -> int:
        """How many questions, at most: of a gap in the log nobody knows."""
        return sum(some.count() for some in self.selections.values())

    @property
    def places(self) -> list[TopicPartition]:
        """The partitions of which something is wanted."""
        return [TopicPartition(self.questions, part.partition) for part in self.parts]

    def check_log(self, whole: Mapping[TopicPartition, Stretch]) -> None:
        """`whole`: the logs as they are now.

        Raises:
            KafkaError: they are not those of then: the job would wait for what comes one day.
        """
        for place, part in zip(self.places, self.parts, strict=True):
            if (end := whole[place].end) < part.end:
                raise KafkaError(
                    f"partition {part.partition} of {self.questions!r} ends at {end}, and replay "
                    f"{self.id!r} goes to {part.end}: the topic was truncated or created anew, and "
                    "the plan is not of it; make another"
                )

    @property
    def ends(self) -> dict[int, int]:
        return {part.partition: part.end for part in self.parts}


def parts(selections: Mapping[int, Selection]) -> list[Part]:
    """Without those of which nothing is wanted."""
    return [
        Part(partition=number, start=some.start, end=some.end, offsets=some.text)
        for number, some in sorted(selections.items())
        if some.count()
    ]


def check_id(name: str) -> str:
    """It becomes part of the names of topics and of a group.

    Raises:
        ConfigurationError: it cannot.
    """
    if not _ID.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no id: letters, digits, '.', '_' and '-', up to 100")
    return name


def check_prefix(name: str) -> str:
    """Topics are named by it.

    Raises:
        ConfigurationError: none can be.
    """
    if not _PREFIX.fullmatch(name):
        raise ConfigurationError(
            f"--topic-prefix {name!r}: no topic is called so; write letters, digits, '.', '_' and "
            "'-', up to 200"
        )
    return name


def encode(plan: Plan) -> bytes:
    """Raises ConfigurationError: it does not fit into a record."""
    said = plan.model_dump_json().encode()
    if len(said) > LIMIT:
        raise ConfigurationError(
            f"the plan takes {len(said):,} bytes and a record {LIMIT:,}: too many single questions "
            "over too wide a range; narrow it, or make several replays of it"
        )
    return said


def decode(said: bytes) -> Plan:
    """Raises ConfigurationError: it is none that is known here."""
    try:
        return Plan.model_validate_json(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"the plan cannot be read: {where}: {first['msg']}") from error
