"""How does a question stand in its record, and what of it would the service not take?"""

from pydantic_core import PydanticSerializationError

from penstock.errors import RecordError
from penstock.events.question import Question
from penstock.gateway.problem import ProblemError
from penstock.kafka.codec import Codec, Raw


def written(question: Question, codec: Codec) -> bytes:
    """Its record's value.

    Raises:
        ProblemError: (422, 413) as soon as it is read it would be a dead letter.
    """
    try:
        value = question.model_dump_json(exclude_defaults=True).encode()
    except PydanticSerializationError as error:
        raise ProblemError(
            422,
            "not_writable",
            "the inputs or the metadata hold half of a surrogate pair, which is no character, or "
            "are nested too deep",
        ) from error
    try:
        codec.question(Raw("", 0, 0, 0, None, value, ()))
    except RecordError as error:
        status = 413 if error.code == "value_too_large" else 422
        raise ProblemError(status, error.code, error.message) from error
    return value
