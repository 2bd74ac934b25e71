"""How do a conversation and its answer travel in chat completions?"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field

from penstock.events.completion import Completion
from penstock.events.completion import Usage as Used
from penstock.gateway.openai.answer import ANSWER, REASONING, reasoning, text
from penstock.gateway.openai.errors import frame
from penstock.gateway.openai.exchange import Exchange
from penstock.gateway.openai.fields import IDLE, Asking, Text
from penstock.gateway.openai.inputs import Turn
from penstock.gateway.problem import ProblemError

DONE = b"data: [DONE]\n\n"

NAMES = {ANSWER: "content", REASONING: "reasoning_content"}
"""Of what is said, in a message."""


class _Sent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class ChatPart(_Sent):
    type: Literal["text"]
    text: Text


class ChatMessage(_Sent):
    role: Literal["system", "developer", "user", "assistant"]
    content: Text | Annotated[list[ChatPart], Field(min_length=1)]
    name: Text | None = Field(None, description="Is not looked at.")
    reasoning_content: Text | None = Field(
        None, description="Is not looked at: our own answers have it."
    )
    refusal: None = None
    annotations: Annotated[list[Any], Field(max_length=0)] | None = None
    audio: None = None
    function_call: None = None
    tool_calls: Annotated[list[Any], Field(max_length=0)] | None = None

    @property
    def turn(self) -> Turn:
        if isinstance(self.content, str):
            return Turn(self.role, self.content)
        return Turn(self.role, "\n".join(part.text for part in self.content))


class ChatStreamOptions(_Sent):
    include_usage: bool | None = Field(
        None, description="Whether the last chunk says how many tokens were used."
    )
    include_obfuscation: bool | None = Field(None, description="Is not looked at.")


class ChatRequest(Asking):
    idle: ClassVar[Mapping[str, tuple[Any, ...]]] = IDLE | {
        "audio": (),
        "frequency_penalty": (0,),
        "function_call": ("auto", "none"),
        "functions": ([],),
        "logit_bias": ({},),
        "logprobs": (False,),
        "max_completion_tokens": (),
        "max_tokens": (),
        "modalities": (["text"],),
        "n": (1,),
        "prediction": (),
        "presence_penalty": (0,),
        "reasoning_effort": (),
        "response_format": ({"type": "text"},),
        "seed": (),
        "stop": ([],),
        "verbosity": ("medium",),
        "web_search_options": (),
    }

    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    stream_options: ChatStreamOptions | None = None


class ChatUsage(BaseModel):
    """Tokens over all attempts, as the model has counted them."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatAnswer(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str = Field(
        description="The answer; of a program whose outputs are no texts, all of them as JSON."
    )
    refusal: None = None
    reasoning_content: str | None = Field(
        None, description="The program's output `reasoning`, where it has one."
    )


class ChatChoice(BaseModel):
    index: int = 0
    message: ChatAnswer
    logprobs: None = None
    finish_reason: Literal["stop"] = "stop"


class ChatCompletion(BaseModel):
    """The answer of a question."""

    id: str = Field(description="`chatcmpl-` and the id of the question.")
    object: Literal["chat.completion"] = "chat.completion"
    created: int = Field(description="When it was asked, in Unix seconds.")
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage
    system_fingerprint: str | None = Field(None, description="The version of the program.")


def answered(exchange: Exchange, completion: Completion) -> ChatCompletion:
    """The whole of it."""
    said = ChatAnswer(content=text(completion), reasoning_content=reasoning(completion) or None)
    return ChatCompletion(
        id=_id(exchange),
        created=exchange.created,
        model=exchange.model.id,
        choices=[ChatChoice(message=said)],
        usage=_usage(completion.usage),
        system_fingerprint=_version(completion) or exchange.version,
    )


async def frames(exchange: Exchange, *, include_usage: bool) -> AsyncGenerator[bytes, None]:
    """The chunks of it, as it is said."""
    head = {
        "id": _id(exchange),
        "object": "chat.completion.chunk",
        "created": exchange.created,
        "model": exchange.model.id,
        "system_fingerprint": exchange.version,
    }
    no_usage = {"usage": None} if include_usage else {}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _data(head | {"choices": [choice]} | no_usage)

    yield chunk({"role": "assistant", "content": ""})
    try:
        async with aclosing(exchange.deltas()) as deltas:
            async for said in deltas:
                if isinstance(said, Completion):
                    yield chunk({}, "stop")
                    if include_usage:
                        usage = _usage(said.usage).model_dump()
                        yield _data(head | {"choices": [], "usage": usage})
                else:
                    yield chunk({NAMES[said.field]: said.text})
        yield DONE
    except ProblemError as error:
        yield frame(error)


def _id(exchange: Exchange) -> str:
    return f"chatcmpl-{exchange.question_id}"


def _version(completion: Completion) -> str | None:
    return None if completion.program is None else completion.program.version


def _usage(used: Used) -> ChatUsage:
    return ChatUsage(
        prompt_tokens=used.prompt_tokens,
        completion_tokens=used.completion_tokens,
        total_tokens=used.total_tokens,
    )


def _data(value: dict[str, Any]) -> bytes:
    return b"data: %s\n\n" % orjson.dumps(value)
