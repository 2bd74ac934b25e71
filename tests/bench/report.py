"""`python -m tests.bench.report [FILE]`: a whole run becomes the one that the README tells of."""

import argparse
from collections.abc import Collection
from pathlib import Path

import orjson

from schemas.__main__ import main as generate
from schemas.performance import MEASURED
from tests.bench.__main__ import OUT, SCENARIOS


def missing(measured: Collection[str]) -> list[str]:
    """The scenarios that a whole run has, and this one has not."""
    return [name for name in SCENARIOS if name not in measured]


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench.report", description=__doc__)
    parser.add_argument("file", type=Path, nargs="?", default=OUT)
    file: Path = parser.parse_args().file
    try:
        told = file.read_bytes()
    except OSError as error:
        parser.error(f"{file}: {error.strerror}; `make bench` writes one")
    if lacking := missing(orjson.loads(told)):
        parser.error(f"{file} is of no whole run: {', '.join(lacking)} not measured")
    MEASURED.write_bytes(told)
    generate()


if __name__ == "__main__":
    main()
