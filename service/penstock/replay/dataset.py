"""What does a question with its completion look like as a row of a dataset?"""

from collections.abc import Mapping
from typing import Any

from penstock.kafka.codec import Raw
from penstock.replay import view
from penstock.replay.comparison import outputs
from penstock.replay.pairs import Said

Row = dict[str, Any]


def example(record: Raw, completion: Said | None) -> Row | str:
    """`inputs` and `outputs`, as an optimizer of DSPy wants them; else why there is no such row."""
    if completion is None:
        return "unanswered"
    if not (said := outputs(completion)):
        return f"{completion.get('status')}, without outputs"
    question = view.question(record)
    if question is None:
        return "no question that can be read"
    # No field is both: one that is asked by the name of an output is not the program's.
    inputs = {name: value for name, value in question.fields.items() if name not in said}
    return {"inputs": inputs, "outputs": said}


def whole(record: Raw, completion: Said | None) -> Row:
    """Record, question and completion; null what cannot be read, or is not there."""
    question = view.question(record)
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
        "key": _text(record.key),
        "headers": {name: _text(value) for name, value in record.headers},
        "question": None
        if question is None
        else question.model_dump(mode="json", exclude_unset=True, exclude_none=True),
        "completion": completion,
    }


def program(completion: Said | None) -> str | None:
    """Who has answered."""
    found: Any = None if completion is None else completion.get("program")
    return str(found.get("name")) if isinstance(found, Mapping) else None


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
