"""Which piece of a JSON answer belongs to which output field?"""

import json
import re
from collections.abc import Collection
from enum import Enum, auto

Pieces = list[tuple[str, str]]


class _At(Enum):
    """Where a reader of JSON stands."""

    PROSE = auto()
    OPENED = auto()
    KEY = auto()
    COLON = auto()
    VALUE = auto()
    STRING = auto()
    SCALAR = auto()
    NESTED = auto()
    AFTER = auto()
    NEXT = auto()
    END = auto()


# What one visible character does between the keys and the values. Anything else ends the reading,
# except behind the first brace: there it was a brace in prose, and the search goes on.
_MOVES = {
    _At.OPENED: {'"': _At.KEY},
    _At.COLON: {":": _At.VALUE},
    _At.VALUE: {'"': _At.STRING, "{": _At.NESTED, "[": _At.NESTED},
    _At.AFTER: {",": _At.NEXT, "}": _At.END},
    _At.NEXT: {'"': _At.KEY},
}
_OTHERWISE = {_At.OPENED: _At.PROSE, _At.VALUE: _At.SCALAR}
_HEX = "[0-9a-fA-F]"
_HIGH = rf"\\u[dD][89abAB]{_HEX}{{2}}"
_LOW = rf"\\u[dD][c-fC-F]{_HEX}{{2}}"
# A high surrogate waits for what follows it. What is no escape in JSON is text, as json_repair has
# it.
_BROKEN = rf"\\u(?={_HEX}{{0,3}}[^0-9a-fA-F])"
_LONE = rf"{_HIGH}(?=[^\\]|\\[^u]|(?!{_LOW})\\u{_HEX}{{4}}|{_BROKEN})"
_UNIT = rf"(?!{_HIGH})\\u{_HEX}{{4}}"
_STRING_PART = re.compile(rf'(?:[^"\\]+|\\[^u]|{_UNIT}|{_HIGH}{_LOW}|{_LONE}|{_BROKEN})*')
_ESCAPES = re.compile(rf"(?:\\u{_HEX}{{4}})+|\\[^u]")
_SHORT_ESCAPES = {
    r"\"": '"',
    r"\\": "\\",
    r"\/": "/",
    r"\b": "\b",
    r"\f": "\f",
    r"\n": "\n",
    r"\r": "\r",
    r"\t": "\t",
}
_SCALAR = re.compile(
    r"true|false|null|NaN|-?Infinity|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?"
)
_SCALAR_END = re.compile(r"[\s,}\]]")


class JSONFields:
    """The members of the first JSON object in the text, as `JSONAdapter.parse` reads them.

    Strings are decoded as they come; a lone surrogate stays one, as in `json.loads`. Other values
    are raw JSON: lists and objects as they come, numbers and literals once they are complete. Of a
    repeated key only the first value is read (DSPy takes the last). After a breach of the format
    nothing is certain, so nothing more is said.
    """

    def __init__(self, fields: Collection[str]) -> None:
        self._unseen = set(fields)
        self._field: str | None = None
        self._at = _At.PROSE
        self._held = ""  # an escape or a scalar that is not complete
        self._key = ""
        self._depth = 0
        self._quoted = False  # in a string of a nested value
        self._escaped = False  # behind a backslash of such a string

    def feed(self, text: str) -> Pieces:
        if self._at is _At.STRING and not self._held and '"' not in text and "\\" not in text:
            return [(self._field, text)] if text and self._field is not None else []
        text = self._held + text
        self._held = ""
        pieces: Pieces = []
        position = 0
        while position < len(text):
            start = position
            match self._at:
                case _At.PROSE:
                    position = self._search(text, position)
                case _At.KEY:
                    position = self._read_key(text, position)
                case _At.STRING:
                    said, position = self._read_string(text, position, then=_At.AFTER)
                    self._say(said, pieces)
                case _At.SCALAR:
                    position = self._read_scalar(text, position, pieces)
                case _At.NESTED:
                    position = self._read_nested(text, position)
                    self._say(text[start:position], pieces)
                case _At.END:
                    break
                case _:
                    position = self._move(text, position)
        return pieces

    def finish(self) -> Pieces:
        return []

    def _say(self, text: str, pieces: Pieces) -> None:
        if text and self._field is not None:
            pieces.append((self._field, text))

    def _search(self, text: str, position: int) -> int:
        brace = text.find("{", position)
        if brace < 0:
            return len(text)
        self._at = _At.OPENED
        return brace + 1

    def _move(self, text: str, position: int) -> int:
        char = text[position]
        if char.isspace():
            return position + 1
        move = _MOVES[self._at].get(char)
        self._at = move or _OTHERWISE.get(self._at, _At.END)
        # Where nothing moves the character is still to be read; so is a nested value's bracket.
        return position if move in (None, _At.NESTED) else position + 1

    def _read_key(self, text: str, position: int) -> int:
        said, position = self._read_string(text, position, then=_At.COLON)
        self._key += said
        if self._at is _At.COLON:
            self._field = self._key if self._key in self._unseen else None
            self._unseen.discard(self._key)
            self._key = ""
        return position

    def _read_string(self, text: str, position: int, *, then: _At) -> tuple[str, int]:
        part = _STRING_PART.match(text, position)
        assert part is not None  # it matches nothing, too
        end = part.end()
        said = _ESCAPES.sub(_decode, part[0]) if "\\" in part[0] else part[0]
        if text.startswith('"', end):
            self._at = then
            return said, end + 1
        self._held = text[end:]
        return said, len(text)

    def _read_scalar(self, text: str, position: int, pieces: Pieces) -> int:
        stop = _SCALAR_END.search(text, position)
        if stop is None:
            self._held = text[position:]
            return len(text)
        scalar = text[position : stop.start()]
        if _SCALAR.fullmatch(scalar):
            self._at = _At.AFTER
            self._say(scalar, pieces)
        else:
            self._at = _At.END
        return stop.start()

    def _read_nested(self, text: str, position: int) -> int:
        """Where the nested value ends, or the text does."""
        for end in range(position, len(text)):
            char = text[end]
            if self._escaped:
                self._escaped = False
            elif self._quoted:
                self._escaped = char == "\\"
                self._quoted = char != '"'
            elif char == '"':
                self._quoted = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if not self._depth:
                    self._at = _At.AFTER
                    return end + 1
        return len(text)


def _decode(escapes: re.Match[str]) -> str:
    if escapes[0].startswith("\\u"):
        return str(json.loads(f'"{escapes[0]}"'))
    return _SHORT_ESCAPES.get(escapes[0], escapes[0])
