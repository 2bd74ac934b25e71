"""Which offsets does a file name? As Kafka's tools write them, or as completions or dead letters
do.
"""

import csv
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from penstock.errors import ConfigurationError

_HEADER = ["topic", "partition", "offset"]


def offsets(file: Path, topic: str) -> dict[int, set[int]]:
    """By partition, whether they are there or not. Each line is `topic,partition,offset`, or a JSON
    object: a completion, bare or in kcat's envelope; a dead letter as `penstock dlq ls --output
    json` has it; or one with `topic`, `partition` and `offset`. `-` is standard input.

    Raises:
        ConfigurationError: it cannot be read; a line is neither, or of another topic.
    """
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--from-file {file}: {error}") from error
    found: dict[int, set[int]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or _is_header(line):
            continue
        try:
            named, partition, offset = _place(line)
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigurationError(
                f"--from-file {file}, line {number}: neither topic,partition,offset nor a "
                "completion or a dead letter as JSON"
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
        if isinstance(said.get("payload"), str) and "tstype" in said:
            # Of kcat's envelope, what was in the record.
            said = orjson.loads(said["payload"])
        place = said.get("source") or said.get("origin") or said
        words: Iterable[Any] = (place[name] for name in _HEADER)
    else:
        words = next(csv.reader([line]))
    topic, partition, offset = words
    numbers = int(partition), int(offset)
    if min(numbers) < 0:
        raise ValueError("a negative number")
    return str(topic).strip(), *numbers
