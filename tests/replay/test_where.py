"""Which records are wanted."""

from typing import Any

import pytest

from penstock.errors import ConfigurationError
from penstock.replay.where import COMPLETION, QUESTION, holds, parse

VIEW: dict[str, Any] = {
    "id": "a",
    "key": None,
    "program": "qa",
    "metadata": {"tenant": "acme", "n": 3, "vip": True, "a.b": {"c": "deep"}, "none": None},
    "status": "failed",
    "error": {"kind": "ANSWER", "code": "unparsable"},
}


@pytest.mark.parametrize(
    ("text", "holds_"),
    [
        ("status=failed", True),
        ("status=completed", False),
        ("program=qa", True),
        ("metadata.tenant=acme", True),
        ("metadata.n=3", True),
        ("metadata.vip=true", True),
        ("metadata.a.b.c=deep", True),
        ("metadata.a=b", False),
        ("metadata.none=None", False),
        ("error.kind=ANSWER", True),
        ("key=", False),
        ("model=gpt", False),
        ("id=a=b", False),
    ],
)
def test_one_condition(text: str, *, holds_: bool) -> None:
    assert holds(parse([text], QUESTION + COMPLETION), VIEW) is holds_


def test_all_must_hold() -> None:
    both = parse(["status=failed", "program=qa"], QUESTION + COMPLETION)
    assert holds(both, VIEW)
    assert not holds(both, {**VIEW, "program": "other"})
    assert holds((), VIEW)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("status", "write field=value"),
        ("state=failed", "no field 'state'; did you mean status?"),
        ("metadata=acme", "no field 'metadata'"),
        ("metadata.=acme", "no field 'metadata.'"),
        ("status=done", "status is one of completed"),
        ("error.kind=answer", "error.kind is one of RECORD, ANSWER"),
    ],
)
def test_what_is_no_condition(text: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        parse([text], QUESTION + COMPLETION)
