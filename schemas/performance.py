"""What the README tells of speed: tables of the figures of one whole `make bench`."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

MEASURED = Path("docs/performance.json")
"""As `python -m tests.bench` wrote it."""

PENSTOCK, FLOOR, REFERENCE = "penstock", "floor", "reference"
MERGING = "penstock, merging 20 ms"
PROGRAMS = {
    FLOOR: "floor: aiokafka and aiohttp; no DSPy, no guarantee",
    REFERENCE: "reference: aiokafka and `dspy.streamify`; no guarantee",
    PENSTOCK: "**Penstock**",
    MERGING: "**Penstock**, `TOKENS__MIN_INTERVAL_MS=20`",
    "with DSPy's client": "**Penstock**, DSPy's own client",
}
NOT_MEASURED = "-"

Row = tuple[str, ...]


class Run:
    """One run, as its file tells it."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.machine: dict[str, Any] = told["machine"]
        self._told = told

    def conditions(self, scenario: str) -> dict[str, Any]:
        conditions: dict[str, Any] = self._told[scenario]["conditions"]
        return conditions

    def subjects(self, scenario: str) -> list[str]:
        return list(self._told[scenario]["subjects"])

    def value(self, scenario: str, subject: str, figure: str) -> float | None:
        """None: it is not measured."""
        found: float | None = self._told[scenario]["subjects"].get(subject, {}).get(figure)
        return found

    def told(self, scenario: str, subject: str, figure: str, digits: int = 0) -> str:
        value = self.value(scenario, subject, figure)
        return NOT_MEASURED if value is None else f"{value:,.{digits}f}"

    def between(self, scenario: str, subject: str, figure: str, digits: int) -> str:
        """The lowest and the highest round; nothing, where there was one."""
        spread = self._told[scenario]["spread"].get(subject, {}).get(figure)
        return f" ({spread[0]:,.{digits}f} to {spread[1]:,.{digits}f})" if spread else ""


def measured() -> Run:
    return Run(json.loads(MEASURED.read_text()))


def tables(run: Run) -> str:
    """Markdown: the chart, both tables, and below each what it tells."""
    speed, rest = _table(_speed(run)), _table(_rest(run))
    return "\n\n".join((PICTURE, speed, _below_speed(run), rest, BELOW_REST, _alone(run)))


PICTURE = """\
<picture>
  <source media="(prefers-color-scheme: dark)" srcset="docs/performance-dark.svg">
  <img src="docs/performance.svg" alt="Bars of Penstock, the reference and the floor: questions \
per second in 64 and in 256 slots beside the model's limit, and CPU per question" width="100%">
</picture>"""


def _below_speed(run: Run) -> str:
    machine, load, one = run.machine, run.conditions("saturation-64"), run.conditions("unloaded")
    skew, memory = run.conditions("skew"), run.told("saturation-256", PENSTOCK, "peak_memory_mb")
    return (
        f"By `make bench`, on {machine['cores']} cores ({machine['processor']}, Python "
        f"{machine['python']}) that the service shares with the broker, the model server and who "
        f"asks; {_rounds(load['rounds'])}. The model takes {load['first_token_ms']:g} "
        f"ms to the first of {load['tokens']} tokens and {load['token_ms']:g} ms from one to the "
        "next; its limit is the slots divided by the time of an answer. CPU is user and system "
        "time of the service's process; that of a chunk is a question's, divided by its chunks "
        "(64 slots, as is memory; Penstock's is "
        f"{memory} MB at 256). In 256 slots the broker, the model server and who asks take what is "
        "left of both cores. A process of Penstock writes 2,000 token records a second at most: "
        "of 64 questions at once a reader gets a piece every 32 ms, of 256 every 128 ms; the "
        "others write every chunk. First token, idle: "
        f"{one['questions'] * one['rounds']} questions of {one['tokens']} tokens, one at a time, "
        "by the clock of who asks; what is added to the model's own time, Kafka both ways "
        "included. Under load: from the call of the model to the first record. "
        f"Skew: of a hundred questions {skew['slow_percent']:g} "
        f"take {skew['times_slower']:g} times longer; questions/s, as a ratio to the floor, in "
        f"{_rounds(skew['rounds'])}."
    )


def _speed(run: Run) -> Iterator[Row]:
    few, many = (run.conditions(f"saturation-{slots}") for slots in (64, 256))
    yield (
        "",
        f"Questions/s, 64 slots (limit {few['limit_per_second']:.0f})",
        f"256 slots (limit {many['limit_per_second']:.0f})",
        "CPU ms per question, 64 / 256",
        "CPU µs per chunk",
        "Token records per question, 64 / 256",
        "First token added, idle, ms, p50 / p99",
        "p50 over the floor",
        "Under load, p50, 64 / 256",
        "Skew",
        "Peak memory, MB",
    )
    for subject, name in PROGRAMS.items():
        yield (
            name,
            run.told("saturation-64", subject, "questions_per_second"),
            run.told("saturation-256", subject, "questions_per_second"),
            _both(run, subject, "cpu_ms_per_question", 2),
            run.told("saturation-64", subject, "cpu_us_per_chunk"),
            _both(run, subject, "token_records_per_question", 0),
            run.told("unloaded", subject, "first_token_added_ms_p50", 1)
            + " / "
            + run.told("unloaded", subject, "first_token_added_ms_p99", 1),
            run.told("unloaded", subject, "first_token_over_floor_ms_p50", 1),
            _both(run, subject, "call_to_token_added_ms_p50", 0),
            run.told("skew", subject, "rate_to_floor", 2),
            run.told("saturation-64", subject, "peak_memory_mb"),
        )


def _both(run: Run, subject: str, figure: str, digits: int) -> str:
    scenarios = ("saturation-64", "saturation-256")
    return " / ".join(run.told(scenario, subject, figure, digits) for scenario in scenarios)


def _rest(run: Run) -> Iterator[Row]:
    yield ("Penstock / merging 20 ms / floor / reference", *(head for head, _, _ in COLUMNS))
    for scenario, what in BESIDE_FLOOR.items():
        cells = (_beside(run, scenario, figure, digits) for _, figure, digits in COLUMNS)
        yield (_what(run, scenario, what), *cells)


def _beside(run: Run, scenario: str, figure: str, digits: int) -> str:
    beside = (run.told(scenario, subject, figure, digits) for subject in BESIDE)
    return " / ".join(beside)


BESIDE = (PENSTOCK, MERGING, FLOOR, REFERENCE)
COLUMNS = (
    ("Questions/s", "questions_per_second", 0),
    ("To the limit", "ratio_to_limit", 2),
    ("CPU ms per question", "cpu_ms_per_question", 1),
    ("CPU µs per chunk", "cpu_us_per_chunk", 0),
    ("Token records per question", "token_records_per_question", 0),
    ("Peak memory, MB", "peak_memory_mb", 0),
)
BESIDE_FLOOR = {
    "burst": "{questions:,} questions at once, of {tokens} tokens after {first_token_ms:g} ms",
    "long-answers": "{tokens:,} tokens each",
    "many-partitions": "topics of {partitions} partitions",
    "many-keys": "{keys} keys in turn, the order of each kept (by the others not)",
    "slow-broker": "every answer of the broker {answers_late_ms} ms late",
}

BELOW_REST = (
    "Other loads, in the same run; where nothing else is said, for the same model. While a record "
    "is on its way to the broker, Penstock merges tokens into the next. Where answers are short, "
    "little is left to merge, and what DSPy and the guarantees cost is seen: a millisecond a "
    "question. One scenario: `make bench ARGS=burst`. Of Penstock alone is measured:"
)


def _alone(run: Run) -> str:
    lines = (
        f"- {_what(run, scenario, what)}: {told(run)}." for scenario, (what, told) in ALONE.items()
    )
    return "\n".join(lines)


def _memory(run: Run) -> str:
    def of(figure: str, digits: int = 0) -> str:
        return run.told("memory", PENSTOCK, figure, digits)

    return (
        f"{of('memory_at_20_percent_mb')} MB after a fifth of them, "
        f"{of('memory_at_100_percent_mb')} MB at the end, which is "
        f"{of('memory_grown_kb_per_1000_questions')} KB more per 1,000 questions (besides, ids are "
        "known for `DUPLICATES__WINDOW_MS`, 250 bytes each: 15 MB at 100 questions/s and the "
        "default of 10 minutes; here it was 10 s)"
    )


def _scaling(run: Run) -> str:
    rates = (
        f"{name}, {run.told('scaling', name, 'questions_per_second')} questions/s"
        for name in run.subjects("scaling")
    )
    return "; ".join(rates)


def _recovery(run: Run) -> str:
    nothing, *others = (
        run.value("recovery", name, "open_seconds") or 0 for name in run.subjects("recovery")
    )
    return (
        f"it serves after {max(others):.1f} s at most; with nothing to read, after {nothing:.1f} s"
    )


def _backlog_cost(run: Run) -> str:
    """With the spread, by which it is to be judged."""
    return "; ".join(
        f"{name}, {run.told('backlog-cost', name, 'cpu_ms_per_question', 2)} ms"
        + run.between("backlog-cost", name, "cpu_ms_per_question", 2)
        for name in run.subjects("backlog-cost")
    )


ALONE: dict[str, tuple[str, Callable[[Run], str]]] = {
    "memory": ("{questions:,} questions of short answers, while {waiting:,} wait", _memory),
    "scaling": ("processes in a group, on the same cores", _scaling),
    "recovery": ("a start with {completions:,} completions to read", _recovery),
    "backlog-cost": (
        "CPU per question while others wait (short answers; the lowest and the highest round)",
        _backlog_cost,
    ),
}


def _what(run: Run, scenario: str, what: str) -> str:
    conditions = run.conditions(scenario)
    return f"`{scenario}`, {_rounds(conditions['rounds'])}: {what.format_map(conditions)}"


def _rounds(number: int) -> str:
    return "one round" if number == 1 else f"medians of {number} rounds"


def _table(rows: Iterator[Row]) -> str:
    head, *lines = rows
    ruler = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ruler, *lines))
