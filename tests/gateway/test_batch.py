"""Which lines a batch has."""

import pytest

from penstock.gateway.batch import LINES, Line, lines
from penstock.gateway.problem import ProblemError


def test_blank_lines_are_counted_and_passed_over() -> None:
    body = b'"a"\n\n  \r\n"b"\r\n\n'
    assert lines(body) == [Line(1, b'"a"'), Line(4, b'"b"\r')]
    assert lines(b"") == lines(b"\n") == []
    assert lines(b'"a"') == [Line(1, b'"a"')]


def test_it_is_bounded() -> None:
    assert len(lines(b"1\n" * LINES)) == LINES
    with pytest.raises(ProblemError) as problem:
        lines(b"1\n" * LINES + b"1")
    assert problem.value.status == 413
