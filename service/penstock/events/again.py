"""Which question is asked again, and by whom? What a replay and a redrive leave on records."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from penstock.events.envelope import Headers, text_header

REPLAY = "penstock-replay"
"""On what a replay says: its id, and topic, partition and offset of the question."""
REDRIVE = "penstock-redrive"
"""On a question that was a dead letter: the redrive's id, and where the dead letter stands."""
REDRIVES = "penstock-redrives"
"""How often it was one."""
MOST = 3
"""Times that a dead letter is redriven, unless somebody says otherwise."""
_DIGITS = 9
_PLACE = re.compile(
    r"([A-Za-z0-9._-]{1,100})/([A-Za-z0-9._-]{1,249})/(\d{1,9})/(\d{1,18})", re.ASCII
)
"""An id, a topic, a partition and an offset: what is longer is none, and would not fit into what is
said of the question."""


class _Again(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)

    id: str
    topic: str
    partition: Annotated[int, Field(ge=0)]
    offset: Annotated[int, Field(ge=0)]

    @property
    def header(self) -> bytes:
        return f"{self.id}/{self.topic}/{self.partition}/{self.offset}".encode()


class Replay(_Again):
    """Asked again by a replay: its id, and where the question stands."""


class Redrive(_Again):
    """Asked again as a dead letter was redriven: by which id, and where the dead letter stands."""

    count: Annotated[int, Field(ge=1)] = Field(1, description="How often it has been redriven.")


def redrive(headers: Headers) -> Redrive | None:
    """What they say of a redrive; None where they say nothing, or no such thing."""
    if (found := _PLACE.fullmatch(text_header(headers, REDRIVE) or "")) is None:
        return None
    id_, topic, partition, offset = found.groups()
    # That it was one, it was once at least, whatever else the headers say.
    count = max(1, redrives(headers))
    return Redrive(id=id_, topic=topic, partition=int(partition), offset=int(offset), count=count)


def redrives(headers: Headers) -> int:
    """How often the record was a dead letter that was redriven."""
    said = text_header(headers, REDRIVES) or ""
    return int(said) if said.isdecimal() and len(said) <= _DIGITS else int(bool(said))


def replay_id(headers: Headers) -> str | None:
    """Of the replay that has said it."""
    said = text_header(headers, REPLAY)
    return None if said is None else said.partition("/")[0]
