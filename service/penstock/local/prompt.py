"""What DSPy asks of a model, read back out of the request, and an answer in the form it asked for.

A model that follows the prompt needs none of this; a scripted one has to know which output fields
the adapter will look for, of which type, and between which markers.
"""

import ast
import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from functools import cached_property
from typing import Any, Self

import orjson

from penstock.local.fitting import fitting

_CHAT_ASKS = "Respond with the corresponding output fields, starting with the field "
_JSON_ASKS = "Respond with a JSON object in the following order of fields: "
_TYPED = r"(?: \(must be formatted as a valid Python (.*?)\)(?=, |\.$))?"
_CHAT_FIELD = re.compile(r"`\[\[ ## (\w+) ## \]\]`" + _TYPED)
_JSON_FIELD = re.compile(r"`(\w+)`" + _TYPED)
_SECTION = re.compile(r"^\[\[ ## (\w+) ## \]\]\n?", re.MULTILINE)
_ENUM_NOTE = "# note: the value you produce must be one of: "
_SCHEMA_NOTE = "# note: the value you produce must adhere to the JSON schema: "


class Style(Enum):
    CHAT = auto()
    JSON = auto()
    PLAIN = auto()


@dataclass(frozen=True, slots=True)
class OutputField:
    """One field the program waits for; `type` is spelled as DSPy spells the annotation."""

    name: str
    type: str = "str"


@dataclass(frozen=True)
class ChatRequest:
    """The body of a POST to /v1/chat/completions, as far as a scripted model cares."""

    model: str
    messages: tuple[tuple[str, str], ...]
    stream: bool = False
    include_usage: bool = False

    @classmethod
    def read(cls, body: bytes) -> Self:
        """Raises ValueError when the body is no chat completion request."""
        sent = orjson.loads(body)
        try:
            return cls(
                model=str(sent["model"]),
                messages=tuple((m["role"], _text(m.get("content"))) for m in sent["messages"]),
                stream=bool(sent.get("stream")),
                include_usage=bool((sent.get("stream_options") or {}).get("include_usage")),
            )
        except (AttributeError, KeyError, TypeError) as wrong:
            raise ValueError(f"not a chat completion request: {wrong!r}") from wrong

    def last(self, role: str) -> str:
        return next((text for said_by, text in reversed(self.messages) if said_by == role), "")

    @cached_property
    def _parts(self) -> tuple[str, Style, str]:
        """The last user message cut into what is asked, the style, and the list of fields."""
        # The adapter's own line comes last; a question that quotes it comes before.
        said = self.last("user")
        asked, _, wanted = said.rpartition(_CHAT_ASKS)
        if asked:
            return asked, Style.CHAT, wanted.rpartition(", and then ending with")[0] + "."
        asked, _, wanted = said.rpartition(_JSON_ASKS)
        if asked:
            return asked, Style.JSON, wanted
        return said, Style.PLAIN, ""

    @property
    def style(self) -> Style:
        return self._parts[1]

    @cached_property
    def fields(self) -> tuple[OutputField, ...]:
        _, style, wanted = self._parts
        if style is Style.PLAIN:
            return ()
        pattern = _CHAT_FIELD if style is Style.CHAT else _JSON_FIELD
        return tuple(OutputField(name, type_ or "str") for name, type_ in pattern.findall(wanted))

    @cached_property
    def inputs(self) -> dict[str, str]:
        pieces = _SECTION.split(self._parts[0])
        return {name: text.strip() for name, text in zip(pieces[1::2], pieces[2::2], strict=True)}

    @property
    def question(self) -> str:
        """The input called `question`, else the first that says something, else all of it."""
        inputs = self.inputs
        spoken = [inputs.get("question", ""), *inputs.values(), self._parts[0].strip()]
        return next((text for text in spoken if text), "")


def written(
    request: ChatRequest,
    value: Callable[[OutputField], Any],
    style: Style | None = None,
) -> str:
    """The answer that carries `value(field)` for every field asked for."""
    style = style or request.style
    fields = request.fields or (OutputField("answer"),)
    if style is Style.JSON:
        return orjson.dumps({f.name: value(f) for f in fields}, option=orjson.OPT_INDENT_2).decode()
    if style is Style.PLAIN:
        return _plain(value(fields[-1]))
    sections = [f"[[ ## {f.name} ## ]]\n{_plain(value(f))}" for f in fields]
    return "\n\n".join([*sections, "[[ ## completed ## ]]"])


def sample(request: ChatRequest, field: OutputField, text: str) -> Any:
    """A value that is valid for the field's type, `text` where the type leaves room for it."""
    named = re.search(
        rf"\{{{field.name}\}} +{re.escape(_ENUM_NOTE)}([^;\n\"]+)", request.last("system")
    )
    if named:
        return named[1].strip()
    if (schema := _schema(request, field)) is not None:
        return fitting(schema, text)
    try:
        return _sample(ast.parse(field.type, mode="eval").body, text)
    except SyntaxError:
        return text


def _schema(request: ChatRequest, field: OutputField) -> dict[str, Any] | None:
    """What the prompt says of a type that has parts: to the end of the line."""
    noted = re.search(
        rf"\{{{field.name}\}} +{re.escape(_SCHEMA_NOTE)}(.*)$", request.last("system"), re.MULTILINE
    )
    if not noted:
        return None
    said = noted[1]
    if request.style is Style.JSON:
        # There the whole line is a string of an object.
        said = orjson.loads(f'"{said.rstrip(",")}')
    schema: dict[str, Any] = orjson.loads(said)
    return schema


def _sample(annotation: ast.expr, text: str) -> Any:
    match annotation:
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inside):
            choices = ast.literal_eval(inside)
            choices = choices if isinstance(choices, tuple) else (choices,)
            # The first tool of an agent would be called for ever.
            return "finish" if "finish" in choices else choices[0]
        case ast.Name(id=name):
            return {"int": 7, "float": 0.5, "bool": True}.get(name, text)
        case _:
            return text


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if isinstance(value, bool) else orjson.dumps(value).decode()


def _text(content: Any) -> str:
    """Content is a string, or a list of parts of which some are text."""
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content or ""
