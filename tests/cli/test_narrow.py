"""What stays whole where a terminal is narrow."""

import io
import re
from typing import Any

import pytest
from aiokafka import ConsumerRecord
from rich.cells import cell_len
from rich.console import Console

from penstock.cli import dlq_ls, dlq_stats, topics_show
from penstock.cli.narrow import cut_end, cut_middle, narrowed
from penstock.cli.tail_show import Lines
from penstock.kafka.describe import Topic
from penstock.replay.causes import HOUR, Causes
from tests.cli.test_tail_show import record

UUID = "b0a6f3c2-6a5e-4d0f-9b1c-2f7d9e4a9f3c"
NOON = 1_795_780_800


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, no_color=True)


def printed(console: Console) -> list[str]:
    assert isinstance(console.file, io.StringIO)
    return re.sub(r"\x1b\[\d*m", "", console.file.getvalue()).splitlines()


def test_parts_give_way_in_turn_and_no_further_than_they_must() -> None:
    steps = ((2, 4), (0, 2), (1, 0))
    assert narrowed([6, 3, 9], steps, 20, 1) == [6, 3, 9]
    assert narrowed([6, 3, 9], steps, 16, 1) == [6, 3, 5]
    assert narrowed([6, 3, 9], steps, 12, 1) == [3, 3, 4]
    assert narrowed([6, 3, 9], steps, 10, 1) == [2, 0, 7]


def test_a_cut() -> None:
    assert cut_middle(UUID, 9) == "b0a6…9f3c"
    assert (cut_middle("short", 9), cut_end("short", 5)) == ("short", "short")
    assert cut_end("shorter", 5) == "shor…"
    assert all(cell_len(cut("漢字" * 9, 8)) == 8 for cut in (cut_end, cut_middle))


def topic(name: str) -> Topic:
    config = dict.fromkeys(topics_show.COLUMNS, "CreateTime")
    config |= {"retention.ms": "86400000", "max.message.bytes": "1048588"}
    return Topic(name, 6, 3, 3, 0, frozenset(), config, frozenset({"retention.ms"}))


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_topic_and_its_settings_stand_together(width: int) -> None:
    console, name = terminal(width), "penstock.dead-letters"
    rows = [topics_show.row(name, topic(name), 1234), topics_show.row("gone", None, None)]
    topics_show.draw(console, rows)
    lines = printed(console)
    assert all(len(line) <= width for line in lines)
    if width == 200:
        assert [line.split()[0] for line in lines] == ["Topic", name, "gone"]
        return
    assert lines[0] == name
    assert lines[-2:] == ["gone", "  missing"]
    whole = ", ".join(line.strip(" ,") for line in lines[1:-2]).split(", ")
    assert {"records: 1234", "in sync: 3", "kept for: 1 d*", "largest record: 1024 KiB"} < {*whole}


def causes(last: int) -> Causes:
    found = Causes()
    for code, count in (("model_error", 12_345), ("not_a_declared_field", 2), ("too_long", 1)):
        for number in range(count):
            found.add("UPSTREAM", code, NOON + number % 2 * last)
    return found


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_numbers_are_whole(width: int) -> None:
    console = terminal(width)
    dlq_stats.show(console, causes(HOUR))
    lines = printed(console)
    assert all(len(line) <= max(60, width) for line in lines), "only what comes last may wrap"
    empty = lines.index("")
    assert [line.split()[0] for line in lines[1:empty]] == ["12345", "2", "1", "12348"]
    assert lines[1].split()[1:3] == ["UPSTREAM", "model_error"]
    wide = ["2026-11-27", "12:00", "6173", "1", "1"]
    narrow = ["2026-11-27", "12:00", "6173", "UPSTREAM", "model_error"]
    assert lines[empty + 2].split() == (wide if width >= 90 else narrow)


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_a_dead_letter_has_its_place_and_cause(width: int) -> None:
    console, message = terminal(width), "the model's server said 429 Too Many Requests " * 3
    said = ("2026-11-27T12:00:00Z", "11/12345", "UPSTREAM", "model_error", "qa", UUID, message)
    dlq_ls.show(console, [said, (*said[:3], "not_a_declared_field", *said[4:])])
    lines = printed(console)
    assert all(len(line) <= width for line in lines)
    assert all(re.search(r"11/12345  UPSTREAM  (model_error|not_a_declared_field)", line)
               for line in lines[1:])  # fmt: skip
    if width >= 80:
        assert "b0a6" in lines[1]
        assert "the m" in lines[1]
    if width == 200:
        assert UUID in lines[1]


def completion(status: str, code: str) -> ConsumerRecord:
    error = {"kind": "UPSTREAM", "code": code, "message": "no answer came in time " * 9}
    said = {"type": "completion", "question_id": UUID, "status": status, "error": error}
    return record(said | {"program": {"name": "question-answer"}, "timing": {"duration_ms": 60012}})


@pytest.mark.parametrize("code", ["deadline_exceeded", "model_error", "x" * 24])
def test_a_completion_has_its_status_and_cause(code: str) -> None:
    console = terminal()
    Lines(console)(completion("expired", code))
    [line] = printed(console)
    assert len(line) <= 80
    assert f" expired UPSTREAM {code}: no" in line
    assert re.search(r" b0a6\S*…\S*9f3c ", line)


def test_an_end_and_a_dead_letter_have_what_became_of_the_question() -> None:
    console = terminal()
    end = {"type": "end", "question_id": UUID, "sequence": 1234, "status": "cancelled"}
    Lines(console)(record(end))
    headers: dict[str, Any] = {
        "penstock-error-kind": b"UPSTREAM",
        "penstock-error-code": b"deadline_exceeded",
    }
    Lines(console)(record({"id": UUID, "question": "?"}, **headers))
    ended, dead = printed(console)
    assert ended.endswith(" #1234 end cancelled")
    assert dead.endswith("9f3c UPSTREAM deadline_exceeded")
