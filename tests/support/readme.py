"""What does the README tell its readers to type? Its blocks of code, word by word."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"

_BLOCK = re.compile(r"(?:<!-- ([^>]*) -->\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\n")
_UNTIL = re.compile(r"in a terminal of its own, until it says: (.*)")


@dataclass(frozen=True, slots=True)
class Block:
    """`note`: the comment right before it, which readers do not see."""

    language: str
    text: str
    note: str

    @property
    def file(self) -> str | None:
        """What its first line says that it is."""
        named = _FILE.match(self.text)
        return named[1] if named else None

    @property
    def goes_on(self) -> str | None:
        """What it says when it is up, where it is to go on beside the others."""
        until = _UNTIL.fullmatch(self.note)
        return until[1] if until else None


def blocks(begin: str, end: str) -> Iterator[Block]:
    """Those between two texts of the README, each of which is there once."""
    _, section = README.read_text(encoding="utf-8").split(begin)
    section, _, _ = section.partition(end)
    for note, language, text in _BLOCK.findall(section):
        yield Block(language, text, note)
