"""How does a response come about? In OpenAI's events, one after the other."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import orjson

from penstock.events.completion import Completion
from penstock.gateway.openai.answer import ANSWER, text
from penstock.gateway.openai.exchange import Exchange
from penstock.gateway.openai.responses import (
    OutputText,
    Response,
    ResponseError,
    ResponseOutput,
    ResponseRequest,
    usage,
)
from penstock.gateway.problem import ProblemError


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
        return self._response("completed", [self._output(text(completion))], usage=usage(used))

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
