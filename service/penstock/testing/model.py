"""What does the model say in a test? What it is told to, in the form the program asks for."""

import asyncio
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from http import HTTPStatus
from typing import Any

from aiohttp import web
from pydantic import TypeAdapter

from penstock.local.prompt import ChatRequest, OutputField, sample, written
from penstock.local.speech import Pace, begin, refuse, say

_WORDS = re.compile(r"\s*\S+|\s+")
_CUT = "\ue000"
"""Stands where an answer ends too soon; a private character, which nobody says."""

_JSON: TypeAdapter[Any] = TypeAdapter(Any)


@dataclass(frozen=True, slots=True)
class Request:
    """What the model was asked, once.

    Args:
        prompt: all of it, message after message.
        messages: role and text of each.
        inputs: input fields by their names, as text; empty with the adapter `plain`.
        outputs: the output fields asked for; empty with the adapter `plain`.
        model: its name without the provider, as in the request.
    """

    prompt: str
    messages: tuple[tuple[str, str], ...]
    inputs: Mapping[str, str]
    outputs: tuple[str, ...]
    model: str


Function = Callable[[Request], Mapping[str, Any] | str | None]


class _Ending(Enum):
    DONE = auto()
    HANGS = auto()
    BREAKS_OFF = auto()


@dataclass(slots=True)
class _Line:
    """What is said to one call, or to so many."""

    said: Mapping[str, Any] | str | None = None
    ending: _Ending = _Ending.DONE
    after_s: float = 0.0
    when_asked: str = ""
    refusal: Callable[[], web.Response] | None = None
    times: float = 1

    def fits(self, request: Request) -> bool:
        fields = self.said if isinstance(self.said, Mapping) else {}
        # A plain prompt names no fields.
        known = not request.outputs or fields.keys() <= set(request.outputs)
        return known and self.when_asked in request.prompt

    def __str__(self) -> str:
        if self.refusal is not None:
            return f"fails({self.refusal().status})"
        if isinstance(self.said, str):
            return f"says_text({self.said!r})"
        fields = ", ".join(f"{name}={value!r}" for name, value in (self.said or {}).items())
        return f"{self.ending.name.lower().replace('done', 'says')}({fields})"


class ScriptedModel:
    """Every model of the settings. What it is told to do, it does in this order: each call takes
    the first that fits it, which is one whose fields it asks for. To any other call it says
    something of the right type for every field.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        """Every call, in their order."""
        self._lines: list[_Line] = []
        self._function: Function = lambda _: None

    def says(self, *, after_s: float = 0.0, when_asked: str = "", **fields: Any) -> None:
        """These output fields, in whichever form the adapter wants; of any type that JSON has, or
        a pydantic model. Fields that are not given get something of their type.

        Args:
            after_s: seconds until it begins to speak.
            when_asked: only to a call whose prompt holds this text.
            **fields: by their names in the signature. A call that does not ask for one of them is
                not meant: so the steps of a program may be told in any order.
        """
        self._lines.append(_Line(_plain(fields), after_s=after_s, when_asked=when_asked))

    def says_text(self, text: str, *, after_s: float = 0.0, when_asked: str = "") -> None:
        """These very words, whatever the adapter wants. See `says`."""
        self._lines.append(_Line(text, after_s=after_s, when_asked=when_asked))

    def fails(
        self,
        status: int,
        *,
        message: str | None = None,
        code: str | None = None,
        retry_after_s: float | None = None,
        when_asked: str = "",
        times: float = 1,
    ) -> None:
        """Refuses, as its provider would.

        Args:
            status: of HTTP, such as 429, 503 or 401.
            message: for people. Default: the status in words.
            code: OpenAI's word for it, such as `context_length_exceeded`.
            retry_after_s: the header `Retry-After`, in seconds.
            when_asked: see `says`.
            times: how many calls; `math.inf`: all that follow.
        """
        wait = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
        text = HTTPStatus(status).phrase if message is None else message

        def refusal() -> web.Response:
            return refuse(status, text, code, wait)

        self._lines.append(_Line(when_asked=when_asked, refusal=refusal, times=times))

    def hangs(self, *, when_asked: str = "", **fields: Any) -> None:
        """Says nothing more, and does not end. The last of the fields, where any are given, ends in
        the middle. See `says`.
        """
        self._lines.append(_Line(_plain(fields), _Ending.HANGS, when_asked=when_asked))

    def breaks_off(self, *, when_asked: str = "", **fields: Any) -> None:
        """As `hangs`, but the connection is lost."""
        self._lines.append(_Line(_plain(fields), _Ending.BREAKS_OFF, when_asked=when_asked))

    def answers(self, function: Function) -> None:
        """What it says where it is told nothing else: output fields, a text, or None for something
        of the right type.
        """
        self._function = function

    def unsaid(self) -> list[str]:
        """What it was told to do and was never asked for."""
        return [str(line) for line in self._lines if line.times < math.inf]

    def wanted(self) -> str:
        """The output fields of all calls, each once."""
        fields = dict.fromkeys(name for request in self.requests for name in request.outputs)
        return ", ".join(fields) or "nothing"

    async def serve(self, http: web.Request) -> web.StreamResponse:
        """One call of OpenAI's chat completions."""
        try:
            asked = ChatRequest.read(await http.read())
        except ValueError as wrong:
            return refuse(HTTPStatus.BAD_REQUEST, str(wrong))
        request = _request(asked)
        self.requests.append(request)
        line = self._next(request)
        if line.refusal is not None:
            return line.refusal()
        pace = Pace(line.after_s)
        chunks = _WORDS.findall(_text(asked, line))
        if line.ending is _Ending.DONE:
            return await say(http, asked, chunks, pace)
        if asked.stream and line.said:
            await begin(http, asked, chunks, pace)
        if line.ending is _Ending.BREAKS_OFF and http.transport is not None:
            http.transport.close()
        # Until the connection is lost, by whichever side.
        until_lost: asyncio.Future[web.StreamResponse] = asyncio.get_running_loop().create_future()
        return await until_lost

    def _next(self, request: Request) -> _Line:
        for line in self._lines:
            if line.fits(request):
                line.times -= 1
                if line.times <= 0:
                    self._lines.remove(line)
                return line
        said = self._function(request)
        return _Line(_plain(said) if isinstance(said, Mapping) else said)


def _plain(fields: Mapping[str, Any]) -> dict[str, Any]:
    """As JSON has it."""
    plain: dict[str, Any] = _JSON.dump_python(dict(fields), mode="json")
    return plain


def _request(asked: ChatRequest) -> Request:
    outputs = tuple(field.name for field in asked.fields)
    return Request(
        prompt="\n".join(text for _, text in asked.messages),
        messages=asked.messages,
        inputs=asked.inputs if outputs else {},
        outputs=outputs,
        model=asked.model,
    )


def _text(asked: ChatRequest, line: _Line) -> str:
    if isinstance(line.said, str):
        return line.said
    said = line.said or {}
    # A plain prompt names no fields: whatever is said is what it asks for.
    named = [field.name for field in asked.fields if field.name in said] or list(said)
    last = None if line.ending is _Ending.DONE or not named else named[-1]

    def value(field: OutputField) -> Any:
        name = field.name if asked.fields else next(iter(said), field.name)
        if name not in said:
            return sample(asked, field, f"something for {name}")
        return f"{said[name]}{_CUT}" if name == last else said[name]

    return written(asked, value).partition(_CUT)[0]
