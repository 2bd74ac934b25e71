"""The table of consequences says what the design says."""

import ast
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from penstock.core.failure import CODES, CONSEQUENCES, MODEL_TIMEOUT, RATE_LIMITED, Kind, expired

SERVICE = Path("service/penstock")
OTHERS = ("client", "cli", "gateway", "testing")
"""Rooms that refuse before there is a question."""


def test_every_kind_has_its_consequences() -> None:
    assert set(CONSEQUENCES) == set(Kind)


@pytest.mark.parametrize(
    ("kind", "retried", "counts_against_breaker", "stops_service"),
    [
        (Kind.RECORD, False, False, False),
        (Kind.ANSWER, True, False, False),
        (Kind.UPSTREAM, True, True, False),
        (Kind.OPERATOR, False, False, True),
        (Kind.DEADLINE, False, False, False),
    ],
)
def test_what_follows(
    kind: Kind, *, retried: bool, counts_against_breaker: bool, stops_service: bool
) -> None:
    assert CONSEQUENCES[kind] == (retried, counts_against_breaker, stops_service)


@pytest.mark.parametrize("stage", ["waiting", "running"])
def test_running_out_of_time_says_where(stage: str) -> None:
    failure = expired(stage)
    assert (failure.kind, failure.code) == (Kind.DEADLINE, "deadline_exceeded")
    assert failure.stage == stage
    assert stage in failure.message


def test_every_code_that_can_come_is_in_the_table() -> None:
    """A label of the metrics: whoever asks, and whatever a program raises, makes none."""
    files = [
        path for room in SERVICE.iterdir() if room.name not in OTHERS for path in files_of(room)
    ]
    found = {code for path in files for code in codes(ast.parse(path.read_text()))}
    constants = {RATE_LIMITED, MODEL_TIMEOUT}
    assert found | constants == {code for codes in CODES.values() for code in codes}


def files_of(room: Path) -> Iterable[Path]:
    return room.rglob("*.py") if room.is_dir() else [room] * (room.suffix == ".py")


def codes(module: ast.AST) -> Iterator[str]:
    """What stands behind a kind, or is the first thing that is said of a record."""
    for node in ast.walk(module):
        match node:
            case ast.Call(func=ast.Name(id="RecordError"), args=[ast.Constant(str(code)), *_]):
                yield code
            case ast.Assign(
                targets=[ast.Tuple([ast.Name(id="code"), *_])],
                value=ast.Tuple([ast.Constant(str(code)), *_]),
            ):
                yield code
            case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(str(code))):
                yield code
            case ast.Call(args=things) | ast.Tuple(elts=things):
                for kind, thing in pairwise(things):
                    if _is_a_kind(kind) and isinstance(thing, ast.Constant):
                        yield str(thing.value)


def _is_a_kind(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and ast.unparse(node.value) == "Kind"
