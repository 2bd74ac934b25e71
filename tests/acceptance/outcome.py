"""What a scenario found out."""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Outcome:
    """A broken promise is wrong on any machine; a bound may be passed on one that is busy."""

    figures: dict[str, Any] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    beyond: list[str] = field(default_factory=list)

    def promise(self, what: str, *, kept: bool) -> None:
        if not kept:
            self.wrong.append(what)

    @contextmanager
    def promised(self) -> Iterator[None]:
        """What is asserted in the block is a promise."""
        try:
            yield
        except AssertionError as error:
            self.wrong.append(str(error))

    def bound(self, what: str, *, kept: bool) -> None:
        if not kept:
            self.beyond.append(what)

    def each_once(self, asked: Iterable[str], ended: Iterable[str]) -> None:
        """Exactly one completion per question."""
        wanted, found = Counter(asked), Counter(ended)
        odd = sorted(name for name in wanted | found if wanted[name] != found[name])
        some = {name: found[name] for name in odd[:5]}
        self.promise(
            f"one completion per question: {len(odd)} have another number, as {some}", kept=not odd
        )

    @property
    def ok(self) -> bool:
        return not self.wrong and not self.beyond
