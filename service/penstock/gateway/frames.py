"""What is said over `/v1/ws`? JSON frames, one text message each (`penstock.v1.json`)."""

from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    ValidationError,
    model_validator,
)

from penstock.events.completion import Completion
from penstock.events.question import Question
from penstock.events.token import TokenEvent
from penstock.gateway.following import event_id
from penstock.gateway.index import Entry, Status
from penstock.gateway.problem import Problem, ProblemError
from penstock.gateway.stream import Said

SUBPROTOCOL = "penstock.v1.json"

Ref = Annotated[str, Field(max_length=256)]


class Ask(Question):
    """A question, as on its topic. By an `id` of the client's the same again is the same question:
    it is not asked again, but read from its beginning.
    """

    model_config = ConfigDict(title="Ask")

    type: Literal["ask"]
    ref: Ref | None = Field(None, description="Comes back in the frame `asked`, or `problem`.")
    key: str | None = Field(
        None, description="Questions of one key are answered one after the other."
    )

    @property
    def asked(self) -> Question:
        """What goes to its topic."""
        fields = {name: getattr(self, name) for name in Question.model_fields}
        return Question.model_construct(**fields)


class _Frame(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, frozen=True)


class Cancel(_Frame):
    """Nobody wants its answer any more."""

    type: Literal["cancel"]
    ref: Ref | None = None
    id: str


class Resume(_Frame):
    """What is said of a question, from its beginning or after what this client has."""

    type: Literal["resume"]
    ref: Ref | None = None
    id: str
    starting_after: Annotated[int, Field(ge=0)] | None = Field(
        None, description="The `sequence` of the last event it has."
    )
    last_event_id: str | None = Field(
        None, description="The `event_id` of the last event it has: found at once, on any replica."
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.starting_after is not None and self.last_event_id is not None:
            raise ValueError("both starting_after and last_event_id are given; write one of them")
        return self


Client = Ask | Cancel | Resume


class ClientFrame(RootModel[Annotated[Client, Field(discriminator="type")]]):
    """What a client says."""


class AskedFrame(BaseModel):
    """Kafka has taken it."""

    type: Literal["asked"] = "asked"
    ref: str | None = None
    id: str
    status: Status


class EventFrame(BaseModel):
    """One record of the tokens topic, in the question's order."""

    type: Literal["event"] = "event"
    id: str
    event_id: str = Field(description="For `resume`.")
    event: TokenEvent


class CompletionFrame(BaseModel):
    """The last frame of a question, however it ended: as on the topic."""

    type: Literal["completion"] = "completion"
    id: str
    completion: Completion


class Refusal(Problem):
    """Problem details (RFC 9457), with what is a header of a response."""

    retry_after_s: int | None = Field(
        None, description="Seconds after which it may be asked again: `Retry-After`."
    )


class ProblemFrame(BaseModel):
    """What cannot be done: a frame of the client's, by its `ref`; or, by the `id` alone, to say
    more of a question.
    """

    type: Literal["problem"] = "problem"
    ref: str | None = None
    id: str | None = None
    problem: Refusal


class ServerFrame(
    RootModel[
        Annotated[
            AskedFrame | EventFrame | CompletionFrame | ProblemFrame, Field(discriminator="type")
        ]
    ]
):
    """What the gateway says. Readers skip types they do not know."""


def read(message: str | None) -> Client:
    """`message`: None: it was no text. Raises ProblemError (400)."""
    if message is None:
        raise _malformed("a frame is a text message")
    try:
        return ClientFrame.model_validate_json(message).root
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        # The first is which of the frames it is.
        where = ".".join(str(part) for part in first["loc"][1:])
        what = first["msg"].removeprefix("Value error, ")
        detail = f"{where}: {what}" if where else what
        raise _malformed(detail) from error


def asked(ref: str | None, entry: Entry) -> str:
    frame = AskedFrame(ref=ref, id=entry.question_id, status=entry.status)
    return frame.model_dump_json(exclude_none=True)


def event(question_id: str, said: Said) -> str:
    """The hot path: the record's own bytes."""
    head = b'{"type":"event","id":%s,"event_id":"%s","event":'
    return (head % (orjson.dumps(question_id), event_id(said).encode()) + said.value).decode() + "}"


def completion(question_id: str, value: bytes) -> str:
    """`value`: as on its topic."""
    head = b'{"type":"completion","id":%s,"completion":' % orjson.dumps(question_id)
    return (head + value).decode() + "}"


def problem(error: ProblemError, ref: str | None = None, question_id: str | None = None) -> str:
    """`ref`, `question_id`: of what it is about."""
    document = error.document
    if (seconds := error.headers.get("Retry-After")) is not None:
        document["retry_after_s"] = int(seconds)
    frame: dict[str, Any] = {"type": "problem"}
    if ref is not None:
        frame["ref"] = ref
    if question_id is not None:
        frame["id"] = question_id
    return orjson.dumps(frame | {"problem": document}).decode()


def ref(message: str | None) -> str | None:
    """Of a frame that cannot be read, so that whoever sent it knows which one is meant."""
    try:
        body = orjson.loads(message or "")
    except orjson.JSONDecodeError:
        return None
    found = body.get("ref") if isinstance(body, dict) else None
    return found if isinstance(found, str) else None


def _malformed(detail: str) -> ProblemError:
    return ProblemError(400, "invalid_frame", detail)
