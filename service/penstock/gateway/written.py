"""How does a question stand in its record, and what of it would the service not take?"""

import hashlib
import json
from datetime import datetime
from typing import NamedTuple

from penstock.errors import RecordError
from penstock.events.question import Question
from penstock.gateway.problem import ProblemError
from penstock.kafka.codec import Codec, Raw


class Written(NamedTuple):
    """`value`: of its record. `fingerprint`: of all that is asked, and not of its id."""

    value: bytes
    fingerprint: str


def written(question: Question, key: str | None, codec: Codec) -> Written:
    """Raises ProblemError (422, 413): it would be a dead letter as soon as it is read."""
    # pydantic would make something else of what cannot be written.
    body = question.model_dump(exclude_defaults=True)
    try:
        text = json.dumps(
            body, ensure_ascii=False, separators=(",", ":"), default=datetime.isoformat
        )
        value = text.encode()
        del body["id"]
        said = json.dumps([key, body], sort_keys=True, default=datetime.isoformat)
    except (RecursionError, UnicodeEncodeError) as error:
        raise ProblemError(
            422,
            "not_writable",
            "it holds half of a surrogate pair, which is no character, or is nested too deep",
        ) from error
    try:
        codec.question(Raw("", 0, 0, 0, None, value, ()))
    except RecordError as error:
        status = 413 if error.code == "value_too_large" else 422
        raise ProblemError(status, error.code, error.message) from error
    return Written(value, hashlib.sha256(said.encode()).hexdigest())
