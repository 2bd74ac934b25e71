"""What is paused has one name, and scopes overlap."""

import pytest

from penstock.core.halts import EVERYTHING, Halts, Scope

NAMES = {
    "all": EVERYTHING,
    "partition/0": Scope(partition=0),
    "partition/31": Scope(partition=31),
    "program/qa": Scope(program="qa"),
    "program/all": Scope(program="all"),
    "program/team/qa é": Scope(program="team/qa é"),
}


@pytest.mark.parametrize(("name", "scope"), NAMES.items(), ids=NAMES)
def test_a_scope_has_a_name_and_the_name_a_scope(name: str, scope: Scope) -> None:
    assert str(scope) == name
    assert Scope.named(name) == scope


@pytest.mark.parametrize(
    "name",
    [
        *("", "ALL", "all/", "everything", "3", "qa", "partition", "program"),
        *("partition/", "partition/-1", "partition/03", "partition/1_0", "partition/٣"),
        *("partition/x", f"partition/{'9' * 5_000}", "program/"),
    ],
)
def test_nothing_has_another_name(name: str) -> None:
    with pytest.raises(ValueError, match=r"none of all|digits"):
        Scope.named(name)


def test_what_is_in_a_scope_is_held_and_nothing_else() -> None:
    halts = Halts()
    assert not halts.hold(3, "qa")
    halts.add(Scope(partition=3))
    halts.add(Scope(program="qa"))
    held = {(p, name) for p in (3, 4) for name in ("qa", "short") if halts.hold(p, name)}
    assert held == {(3, "qa"), (3, "short"), (4, "qa")}
    halts.add(EVERYTHING)
    assert halts.hold(4, "short")


def test_what_one_lets_go_on_another_may_still_hold() -> None:
    halts = Halts()
    scopes = (EVERYTHING, Scope(partition=3), Scope(program="qa"))
    for scope in scopes:
        halts.add(scope)
        halts.add(scope)
    for scope in scopes:
        assert halts.hold(3, "qa")
        halts.lift(scope)
    assert not halts.hold(3, "qa")


def test_what_does_not_stand_can_be_lifted() -> None:
    halts = Halts()
    for scope in (EVERYTHING, Scope(partition=3), Scope(program="qa")):
        halts.lift(scope)
    assert not halts.hold(3, "qa")
