"""What does an operator want no question of to start? Scopes, by the names that everybody knows."""

from typing import NamedTuple

_PARTITION, _PROGRAM = "partition/", "program/"


class Scope(NamedTuple):
    """A partition of the questions, or what one program answers; with neither, everything.

    As text, wherever it is named: `all`, `partition/3`, `program/qa`.
    """

    partition: int | None = None
    program: str | None = None

    def __str__(self) -> str:
        if self.partition is not None:
            return f"{_PARTITION}{self.partition}"
        return "all" if self.program is None else f"{_PROGRAM}{self.program}"

    @classmethod
    def named(cls, name: str) -> "Scope":
        """Raises ValueError where nothing is called so."""
        number = name.removeprefix(_PARTITION)
        if name == str(EVERYTHING):
            return EVERYTHING
        if name.startswith(_PROGRAM) and name != _PROGRAM:
            return cls(program=name.removeprefix(_PROGRAM))
        # A scope has one name: 3 is not 03.
        if number.isdecimal() and name == str(scope := cls(partition=int(number))):
            return scope
        raise ValueError(f"{name!r} is none of all, partition/<number>, program/<name>")


EVERYTHING = Scope()


class Halts:
    """Those that stand. They overlap: what one lets go on another may still hold."""

    def __init__(self) -> None:
        self._stand(frozenset())

    def add(self, scope: Scope) -> None:
        self._stand(self.scopes | {scope})

    def lift(self, scope: Scope) -> None:
        """Whether it stood or not."""
        self._stand(self.scopes - {scope})

    def hold(self, partition: int, program: str) -> bool:
        """Whether nothing that this program answers of this partition may start."""
        return self.everything or partition in self.partitions or program in self._programs

    def _stand(self, scopes: frozenset[Scope]) -> None:
        self.scopes = scopes
        self.everything = EVERYTHING in scopes
        self.partitions = frozenset(s.partition for s in scopes if s.partition is not None)
        """By their numbers, ours or not."""
        self._programs = frozenset(s.program for s in scopes if s.program is not None)
