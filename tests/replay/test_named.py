"""Which offsets a file names."""

import io
import json
from pathlib import Path

import pytest

from penstock.errors import ConfigurationError
from penstock.replay.named import offsets

SOURCE = {"topic": "q", "partition": 1, "offset": 7, "group": "g"}
ENVELOPE = {"topic": "c", "partition": 0, "offset": 3, "tstype": "create", "ts": 0, "key": "k"}
LINES = [
    "q,1,7",
    " q , 1 , 7 ",
    json.dumps(SOURCE),
    json.dumps({"type": "completion", "source": SOURCE}),
    json.dumps({**ENVELOPE, "payload": json.dumps({"source": SOURCE})}),
    json.dumps({"partition": 0, "offset": 3, "kind": "ANSWER", "origin": SOURCE}),
]


@pytest.mark.parametrize("line", LINES)
def test_a_line_names_one(line: str, tmp_path: Path) -> None:
    file = tmp_path / "some"
    file.write_text(f"topic,partition,offset\n\n{line}\n")
    assert offsets(file, "q") == {1: {7}}


def test_standard_input_names_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("q,0,1\nq,0,2\nq,2,1\n"))
    assert offsets(Path("-"), "q") == {0: {1, 2}, 2: {1}}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("q,1", "line 1: neither topic,partition,offset nor a completion"),
        ("q,1,2\nq,x,2", "line 2: neither"),
        ("q,1,-2", "line 1: neither"),
        ('{"question": "?"}', "line 1: neither"),
        ("{", "line 1: neither"),
        ("other,1,2", "line 1: is of the topic 'other', not 'q'"),
        ("", "names nothing"),
    ],
)
def test_what_names_none_is_said(text: str, says: str, tmp_path: Path) -> None:
    file = tmp_path / "some"
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=says):
        offsets(file, "q")
    with pytest.raises(ConfigurationError, match="No such file"):
        offsets(tmp_path / "none", "q")
