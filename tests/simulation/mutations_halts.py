"""Small faults of the core where an operator pauses, one function each, named by what it then does
wrong.
"""

from collections.abc import Callable

import pytest

from penstock.core.admission import Admission, May
from penstock.core.board import Board
from penstock.core.facts import RecordId
from penstock.core.halts import Halts, Scope
from penstock.core.intake import Intake

Patch = pytest.MonkeyPatch


def starts_what_is_paused(patch: Patch) -> None:
    """But for everything."""
    patch.setattr(Board, "may", lambda *_: True)


def starts_again_what_is_paused(patch: Patch) -> None:
    take_again = Admission.take_again

    def whoever(
        admission: Admission, _: May, goes_on: Callable[[RecordId], bool]
    ) -> RecordId | None:
        return take_again(admission, lambda _: True, goes_on)

    patch.setattr(Admission, "take_again", whoever)


def knows_no_programs(patch: Patch) -> None:
    patch.setattr(Halts, "hold", lambda halts, partition, _: partition in halts.partitions)


def knows_no_partitions(patch: Patch) -> None:
    patch.setattr(Halts, "hold", lambda halts, _, program: program in halts._programs)


def goes_on_with_all_when_one_does(patch: Patch) -> None:
    patch.setattr(Halts, "lift", lambda halts, _: halts._stand(frozenset()))


def never_goes_on(patch: Patch) -> None:
    def lift(_: Halts, __: Scope) -> None: ...

    patch.setattr(Halts, "lift", lift)


def resumes_no_partition(patch: Patch) -> None:
    changes = Intake.changes

    def for_ever(
        intake: Intake, *, closed: bool, halted: frozenset[int]
    ) -> tuple[frozenset[int], frozenset[int]]:
        return changes(intake, closed=closed, halted=halted | intake._halted)

    patch.setattr(Intake, "changes", for_ever)
