"""How do an input and its answer travel as a response of OpenAI's?"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from penstock.events.completion import Completion
from penstock.events.completion import Usage as Used
from penstock.gateway.openai.answer import ANSWER, text
from penstock.gateway.openai.exchange import Exchange
from penstock.gateway.openai.fields import IDLE, Asking, Text
from penstock.gateway.openai.inputs import Turn
from penstock.gateway.problem import ProblemError


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ResponsePart(_Sent):
    type: Literal["input_text", "output_text", "text"]
    text: Text
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    logprobs: Annotated[list[Any], Field(max_length=0)] | None = None


class ResponseItem(_Sent):
    """A message, such as one of an earlier response."""

    type: Literal["message"] | None = None
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[ResponsePart], Field(min_length=1)]
    id: Text | None = Field(None, description="Is not looked at.")
    status: Text | None = Field(None, description="Is not looked at.")
    phase: Text | None = Field(None, description="Is not looked at.")

    @property
    def turn(self) -> Turn:
        if isinstance(self.content, str):
            return Turn(self.role, self.content)
        return Turn(self.role, "\n".join(part.text for part in self.content))


class ResponseStreamOptions(_Sent):
    include_obfuscation: bool | None = Field(None, description="Is not looked at.")


class ResponseRequest(Asking):
    idle: ClassVar[Mapping[str, tuple[Any, ...]]] = IDLE | {
        "background": (False,),
        "context_management": ([],),
        "conversation": (),
        "include": ([],),
        "max_output_tokens": (),
        "max_tool_calls": (),
        "previous_response_id": (),
        "reasoning": ({},),
        "text": ({}, {"format": {"type": "text"}}),
        "truncation": ("disabled",),
    }

    input: Text | Annotated[list[ResponseItem], Field(min_length=1)]
    instructions: Text | None = Field(None, description="A message of the system before the input.")
    stream_options: ResponseStreamOptions | None = None

    @property
    def turns(self) -> list[Turn]:
        """As a conversation."""
        before = [] if self.instructions is None else [Turn("system", self.instructions)]
        if isinstance(self.input, str):
            return [*before, Turn("user", self.input)]
        return [*before, *(item.turn for item in self.input)]


class OutputText(BaseModel):
    type: Literal["output_text"] = "output_text"
    text: str = Field(
        description="The answer; of a program whose outputs are no texts, all of them as JSON."
    )
    annotations: list[Any] = []
    logprobs: list[Any] = []


class ResponseOutput(BaseModel):
    type: Literal["message"] = "message"
    id: str
    role: Literal["assistant"] = "assistant"
    status: Literal["in_progress", "completed"]
    content: list[OutputText]


class CachedTokens(BaseModel):
    cached_tokens: int = 0
    cache_write_tokens: int = 0


class ReasoningTokens(BaseModel):
    reasoning_tokens: int = 0


class ResponseUsage(BaseModel):
    """Tokens over all attempts, as the model has counted them; of no details is anything known."""

    input_tokens: int
    input_tokens_details: CachedTokens = CachedTokens()
    output_tokens: int
    output_tokens_details: ReasoningTokens = ReasoningTokens()
    total_tokens: int


class ResponseError(BaseModel):
    code: str = Field(description="`invalid_prompt`, `rate_limit_exceeded` or `server_error`.")
    message: str


class TextFormat(BaseModel):
    type: Literal["text"] = "text"


class TextConfig(BaseModel):
    format: TextFormat = TextFormat()


class Response(BaseModel):
    """A question, and its answer when there is one."""

    id: str = Field(description="`resp_` and the id of the question.")
    object: Literal["response"] = "response"
    created_at: int = Field(description="When it was asked, in Unix seconds.")
    status: Literal["in_progress", "completed", "failed"]
    model: str
    output: list[ResponseOutput]
    error: ResponseError | None = None
    incomplete_details: None = None
    instructions: str | None = None
    metadata: dict[str, str] = {}
    usage: ResponseUsage | None = None
    user: str | None = None
    background: bool = False
    max_output_tokens: None = None
    parallel_tool_calls: bool = False
    previous_response_id: None = None
    reasoning: None = None
    service_tier: Literal["default"] = "default"
    store: bool = False
    temperature: None = None
    text: TextConfig = TextConfig()
    tool_choice: Literal["none"] = "none"
    tools: list[Any] = []
    top_p: None = None
    truncation: Literal["disabled"] = "disabled"


class Responding:
    """One response, told as it comes about: as events, each with its number.

    Args:
        exchange: what is asked, and answered.
        request: of which it comes.
    """

    def __init__(self, exchange: Exchange, request: ResponseRequest) -> None:
        self._exchange = exchange
        self._request = request
        self._item = f"msg_{exchange.question_id}"
        self._part = {"item_id": self._item, "output_index": 0, "content_index": 0}
        self._next = 0
        self._told: list[str] = []

    def whole(self, completion: Completion) -> Response:
        """When it is answered."""
        used = completion.usage
        return self._response("completed", [self._output(text(completion))], usage=_usage(used))

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """All events of it."""
        begun = self._response("in_progress", [])
        yield self._event("response.created", response=begun)
        yield self._event("response.in_progress", response=begun)
        try:
            async with aclosing(self._exchange.deltas()) as deltas:
                async for said in deltas:
                    if isinstance(said, Completion):
                        for frame in self._end(said):
                            yield frame
                    elif said.field == ANSWER:
                        for frame in self._say(said.text):
                            yield frame
        except ProblemError as error:
            if error.code == "restarted":
                yield self.error(error)
            else:
                yield self._failed(error)

    def error(self, error: ProblemError) -> bytes:
        """It cannot be told any more, though it may be answered yet."""
        return self._event("error", code=error.code, message=error.detail, param=None)

    def _say(self, piece: str) -> list[bytes]:
        begun = [] if self._told else self._begin()
        self._told.append(piece)
        delta = self._event("response.output_text.delta", **self._part, delta=piece, logprobs=[])
        return [*begun, delta]

    def _begin(self) -> list[bytes]:
        item = ResponseOutput(id=self._item, status="in_progress", content=[])
        return [
            self._event("response.output_item.added", output_index=0, item=item),
            self._event("response.content_part.added", **self._part, part=OutputText(text="")),
        ]

    def _end(self, completion: Completion) -> list[bytes]:
        begun = [] if self._told else self._begin()
        whole = self.whole(completion)
        item = whole.output[0]
        done = item.content[0]
        return [
            *begun,
            self._event("response.output_text.done", **self._part, text=done.text, logprobs=[]),
            self._event("response.content_part.done", **self._part, part=done),
            self._event("response.output_item.done", output_index=0, item=item),
            self._event("response.completed", response=whole),
        ]

    def _failed(self, error: ProblemError) -> bytes:
        ours = "invalid_prompt" if error.status < 500 else "server_error"  # noqa: PLR2004
        code = "rate_limit_exceeded" if error.code == "rate_limited" else ours
        said = ResponseError(code=code, message=error.detail)
        failed = self._response("failed", [], error=said)
        return self._event("response.failed", response=failed)

    def _response(self, status: Any, output: list[ResponseOutput], **more: Any) -> Response:
        return Response(
            id=f"resp_{self._exchange.question_id}",
            created_at=self._exchange.created,
            status=status,
            model=self._exchange.model.id,
            output=output,
            instructions=self._request.instructions,
            metadata=self._request.metadata or {},
            user=self._request.user,
            **more,
        )

    def _output(self, said: str) -> ResponseOutput:
        return ResponseOutput(id=self._item, status="completed", content=[OutputText(text=said)])

    def _event(self, kind: str, **body: Any) -> bytes:
        event = {"type": kind, "sequence_number": self._next, **body}
        self._next += 1
        data = orjson.dumps(event, default=lambda model: model.model_dump(mode="json"))
        return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


def _usage(used: Used) -> ResponseUsage:
    return ResponseUsage(
        input_tokens=used.prompt_tokens,
        output_tokens=used.completion_tokens,
        total_tokens=used.total_tokens,
    )
