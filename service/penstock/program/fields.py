"""Which piece of the model's text belongs to which output field?

One reader per model call is fed the text as it streams in and gives `(field, text)` pieces as
early as is safe. The pieces of a text field, put together, are what DSPy's adapter parses out of
the whole answer; where the answer breaks its format, the prediction at the end decides.
"""

import re
from collections.abc import Collection
from functools import reduce

from penstock.program.json_fields import JSONFields, Pieces

__all__ = ["ChatFields", "JSONFields", "Pieces", "PlainFields"]

_HEADER = re.compile(r"\[\[ ## (\w+) ## \]\]")
_HEADER_PARTS = (r"\[", r"\[", " ", "#", "#", " ", r"\w+", " ", "#", "#", " ", r"\]", r"\]")
# Matches in full whatever may still grow into a header, the empty text included.
_HEADER_BEGUN = re.compile(
    reduce(lambda rest, part: f"(?:{part}{rest})?", reversed(_HEADER_PARTS), "")
)
_LINE_BREAKS = "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"  # as str.splitlines has them


class PlainFields:
    """The whole text is one field, stripped at both ends."""

    def __init__(self, field: str) -> None:
        self._field = field
        self._begun = False
        self._gap = ""  # white space since the last visible character: perhaps the end

    def feed(self, text: str) -> Pieces:
        text = self._gap + text if self._begun else text.lstrip()
        visible = text.rstrip()
        self._gap = text[len(visible) :]
        if not visible:
            return []
        self._begun = True
        return [(self._field, visible)]

    def finish(self) -> Pieces:
        return []


class ChatFields:
    """Sections under `[[ ## field ## ]]`, as `ChatAdapter.parse` reads them.

    Held back: white space that may end a section, and the beginning of a line while it may still
    become a header. A field's first section counts; text outside the fields is dropped.
    """

    def __init__(self, fields: Collection[str]) -> None:
        self._unseen = set(fields)
        self._field: str | None = None
        self._begun = False  # the section has visible text
        self._gap = ""  # white space since that text, line breaks as \n
        self._line_start: str | None = ""  # the line so far while it may become a header
        self._on_header_line = False
        self._after_cr = False

    def feed(self, text: str) -> Pieces:
        flowing = self._line_start is None and self._begun and not self._gap
        if flowing and text.splitlines() == [text] and not text[-1].isspace():
            # Most chunks: ordinary text in the middle of a line.
            return [] if self._field is None else [(self._field, text)]
        if self._after_cr and text.startswith("\n"):
            text = text[1:]
            self._after_cr = False
        if not text:
            return []
        self._after_cr = text[-1] == "\r"
        *complete, rest = text.splitlines()
        if text[-1] in _LINE_BREAKS:
            complete.append(rest)
            rest = ""
        pieces: Pieces = []
        for line in complete:
            self._read(line, pieces, ended=True)
        self._read(rest, pieces, ended=False)
        return pieces

    def finish(self) -> Pieces:
        pieces: Pieces = []
        self._read("", pieces, ended=True)
        return pieces

    def _read(self, line: str, pieces: Pieces, *, ended: bool) -> None:
        """Take the next part of a line, or its end."""
        if self._line_start is not None:
            line = self._line_start + line
            stripped = line.lstrip()
            if header := _HEADER.match(stripped):
                self._open(header[1])
                # DSPy cuts the unstripped line here, so an indented header leaves its own tail.
                line = line[header.end() :]
            elif not ended and _HEADER_BEGUN.fullmatch(stripped):
                self._line_start = line
                return
            self._line_start = None
        visible = line.rstrip()
        if visible:
            self._say(visible, pieces)
            self._gap = line[len(visible) :]
        else:
            self._gap += line
        if ended:
            # What follows a header on its line is stripped on its own, before lines are joined.
            self._gap = "\n" if self._on_header_line else self._gap + "\n"
            self._on_header_line = False
            self._line_start = ""

    def _open(self, name: str) -> None:
        self._field = name if name in self._unseen else None
        self._unseen.discard(name)
        self._begun = False
        self._gap = ""
        self._on_header_line = True

    def _say(self, visible: str, pieces: Pieces) -> None:
        text = self._gap + visible if self._begun else visible.lstrip()
        self._begun = True
        if self._field is not None:
            pieces.append((self._field, text))
