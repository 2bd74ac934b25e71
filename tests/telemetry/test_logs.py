"""What a line of the log looks like, by LOG_FORMAT and by the terminal."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from penstock.telemetry import logs
from penstock.telemetry.logs import Form


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.mark.parametrize(
    ("form", "stream", "is_json"),
    [
        ("auto", io.StringIO(), True),
        ("auto", _Terminal(), False),
        ("json", _Terminal(), True),
        ("console", io.StringIO(), False),
    ],
)
def test_a_line_is_for_machines_or_for_people(
    form: Form, stream: io.StringIO, is_json: bool
) -> None:
    logs.configure("info", stream, lambda line: line.replace("secret", "***"), form)
    structlog.stdlib.get_logger("penstock.test").info("a change", key="a secret")
    line = stream.getvalue()
    assert "secret" not in line
    if is_json:
        said = json.loads(line)
        assert (said["event"], said["key"], said["level"]) == ("a change", "a ***", "info")
        assert said["logger"] == "penstock.test"
        assert said["timestamp"].endswith("Z")
    else:
        assert "a change" in line
        assert not line.startswith("{")
        # Colours are for eyes.
        assert ("\x1b[" in line) == stream.isatty()


@pytest.mark.parametrize(("form", "said"), [("json", '"worker": 0'), ("console", "worker=0")])
def test_what_stands_in_each_line_stands_in_those_of_libraries(form: Form, said: str) -> None:
    stream = io.StringIO()
    logs.configure("info", stream, form=form, worker=0)
    structlog.stdlib.get_logger("penstock.test").info("ours")
    logging.getLogger("a.library").warning("its own")
    lines = stream.getvalue().splitlines()
    assert [said in line for line in lines] == [True, True]


def test_a_line_of_another_process_is_passed_on_as_it_is() -> None:
    stream = io.StringIO()
    logs.configure("info", stream)
    logs.pass_on("formatted there\n")
    assert stream.getvalue() == "formatted there\n"
