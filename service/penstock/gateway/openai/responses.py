"""What is a response of OpenAI's, and what asks for one?"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from penstock.events.completion import Usage as Used
from penstock.gateway.openai.fields import IDLE, Asking, Text
from penstock.gateway.openai.inputs import Turn


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


def usage(used: Used) -> ResponseUsage:
    """As a completion has it."""
    return ResponseUsage(
        input_tokens=used.prompt_tokens,
        output_tokens=used.completion_tokens,
        total_tokens=used.total_tokens,
    )
