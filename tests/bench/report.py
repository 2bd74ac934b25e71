"""`python -m tests.bench.report [FILE]`: a whole run becomes the one that the README tells of."""

import argparse
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import orjson

from schemas.__main__ import main as generate
from schemas.performance import MEASURED
from tests.bench.__main__ import OUT, SCENARIOS


def missing(measured: Collection[str]) -> list[str]:
    """The scenarios that a whole run has, and this one has not."""
    return [name for name in SCENARIOS if name not in measured]


def smaller(measured: Mapping[str, Any]) -> list[str]:
    """Those of which a whole run has more questions, or more rounds."""
    return [name for name in SCENARIOS if _is_smaller(name, measured[name]["conditions"])]


def _is_smaller(name: str, conditions: Mapping[str, Any]) -> bool:
    whole = SCENARIOS[name]
    questions: int = conditions.get("questions", conditions.get("completions", 0))
    rounds: int = conditions["rounds"]
    return questions < whole.questions or rounds < whole.rounds


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.report", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=OUT)
    file: Path = parser.parse_args().file
    try:
        told = file.read_bytes()
    except OSError as error:
        parser.error(f"{file}: {error.strerror}; `make bench` writes one")
    measured = orjson.loads(told)
    if lacking := missing(measured):
        parser.error(f"{file} is of no whole run: {', '.join(lacking)} not measured")
    if few := smaller(measured):
        parser.error(f"{file} is of no whole run: few questions or rounds: {', '.join(few)}")
    MEASURED.write_bytes(told)
    generate()


if __name__ == "__main__":
    main()
