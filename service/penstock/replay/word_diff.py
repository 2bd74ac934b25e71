"""Which words differ between two texts?"""

import re
from difflib import SequenceMatcher
from itertools import islice
from typing import Literal, NamedTuple

WORDS = 2_000
"""Of each text that are compared; time grows with their product."""

# Languages that write without spaces have a word in every character.
_WORD = re.compile("[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|\\w+|\\s+|[^\\w\\s]")

Kind = Literal["same", "gone", "new"]


class Piece(NamedTuple):
    kind: Kind
    text: str


def word_diff(before: str, after: str) -> list[Piece]:
    """The pieces that are not new are the text before, those that are not gone the text after.

    What is beyond WORDS words counts as one word.
    """
    old, new = _words(before), _words(after)
    # A space is the same only beside a word that is: else every change would be cut at its spaces.
    # (In a long text a common word, too, and a model that repeats itself costs no time.)
    changes = SequenceMatcher(str.isspace, old, new).get_opcodes()
    gone = come = ""
    pieces: list[Piece] = []
    for number, (kind, i, i_end, j, j_end) in enumerate(changes, 1):
        before, now = "".join(old[i:i_end]), "".join(new[j:j_end])
        between = 1 < number < len(changes)
        if kind == "equal" and not (between and _is_no_word(before)):
            pieces += [Piece("gone", gone), Piece("new", come), Piece("same", before)]
            gone = come = ""
        else:
            gone, come = gone + before, come + now
    pieces += [Piece("gone", gone), Piece("new", come)]
    return [piece for piece in pieces if piece.text]


def _is_no_word(text: str) -> bool:
    """A comma that two sentences share would only cut them into pieces."""
    return not any(map(str.isalnum, text))


def _words(text: str) -> list[str]:
    words = [found[0] for found in islice(_WORD.finditer(text), WORDS)]
    rest = text[sum(map(len, words)) :]
    return [*words, rest] if rest else words
