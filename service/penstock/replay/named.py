"""Which offsets does a file name? As Kafka's tools write them, or as completions do."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from penstock.errors import ConfigurationError

_HEADER = ["topic", "partition", "offset"]


def offsets(file: Path, topic: str) -> dict[int, set[int]]:
    """By partition, whether they are there or not. Each line is `topic,partition,offset`, or a JSON
    object: a completion, or one with `topic`, `partition` and `offset`.

    Raises:
        ConfigurationError: it cannot be read; a line is neither, or of another topic.
    """
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--from-file {file}: {error}") from error
    found: dict[int, set[int]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or _is_header(line):
            continue
        try:
            named, partition, offset = _place(line)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"--from-file {file}, line {number}: neither topic,partition,offset nor a "
                f"completion as JSON ({error})"
            ) from error
        if named != topic:
            raise ConfigurationError(
                f"--from-file {file}, line {number}: is of the topic {named!r}, not {topic!r}"
            )
        found.setdefault(partition, set()).add(offset)
    if not found:
        raise ConfigurationError(f"--from-file {file}: names nothing")
    return found


def _is_header(line: str) -> bool:
    return [word.strip().lower() for word in line.split(",")] == _HEADER


def _place(line: str) -> tuple[str, int, int]:
    if line.lstrip().startswith("{"):
        said: Any = orjson.loads(line)
        place = said.get("source") or said
        words: Iterable[Any] = (place[name] for name in _HEADER)
    else:
        words = next(csv.reader([line]))
    topic, partition, offset = words
    numbers = int(partition), int(offset)
    if min(numbers) < 0:
        raise ValueError("a negative number")
    return str(topic).strip(), *numbers
