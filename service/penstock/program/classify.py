"""Which failure kind is this exception? The first row that fits decides."""

import math
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dspy.utils import exceptions as dspy_errors

from penstock.core.failure import MODEL_TIMEOUT, RATE_LIMITED, Failure, Kind
from penstock.errors import NotAwaitedError, PenstockError, Reject, RetryLater
from penstock.events.text import whole_characters
from penstock.program.causes import causes

# Order matters: dspy's LMUnsupportedModelError and ContextWindowExceededError are both
# LMInvalidRequestErrors, and most of the others are LMProviderErrors.
_TABLE: tuple[tuple[type[BaseException], Kind, str], ...] = (
    (Reject, Kind.RECORD, "rejected"),
    (RetryLater, Kind.ANSWER, "retry_later"),
    (NotAwaitedError, Kind.ANSWER, "not_awaited"),
    (dspy_errors.AdapterParseError, Kind.ANSWER, "unparsable_answer"),
    (dspy_errors.ContextWindowExceededError, Kind.RECORD, "context_window_exceeded"),
    (dspy_errors.LMUnsupportedModelError, Kind.OPERATOR, "unknown_model"),
    (dspy_errors.LMInvalidRequestError, Kind.RECORD, "invalid_request"),
    (dspy_errors.LMAuthError, Kind.OPERATOR, "model_auth"),
    (dspy_errors.LMBillingError, Kind.OPERATOR, "model_unpaid"),
    (dspy_errors.LMConfigurationError, Kind.OPERATOR, "model_configuration"),
    (dspy_errors.LMUnsupportedFeatureError, Kind.OPERATOR, "model_configuration"),
    (dspy_errors.LMRateLimitError, Kind.UPSTREAM, RATE_LIMITED),
    (dspy_errors.LMTimeoutError, Kind.UPSTREAM, MODEL_TIMEOUT),
    (dspy_errors.LMServerError, Kind.UPSTREAM, "model_error"),
    (dspy_errors.LMTransportError, Kind.UPSTREAM, "connection_lost"),
    (dspy_errors.LMProviderError, Kind.UPSTREAM, "model_error"),
    (dspy_errors.LMStreamAssemblyError, Kind.UPSTREAM, "stream_broken"),
    (dspy_errors.LMError, Kind.UPSTREAM, "model_error"),
)


# No question makes an address exist or a key valid, however a client names the error.
_BY_STATUS: dict[int | None, tuple[Kind, str]] = {
    401: (Kind.OPERATOR, "model_auth"),
    403: (Kind.OPERATOR, "model_auth"),
    404: (Kind.OPERATOR, "unknown_model"),
}

_NEVER_FITS = "Request too large"
"""Said of a request that is larger than what a whole minute grants. It comes as a rate limit, with
the code of one, and no wait makes it smaller."""


def classify(error: BaseException, hide: Callable[[str], str] = str) -> Failure:
    """What the program does not own is the model's; everything else is an answer that failed.

    `hide` takes out of a message what nobody may read: it is published.
    """
    behind = list(causes(error))
    for row, kind, code in _TABLE:
        for cause in behind:
            if isinstance(cause, row):
                kind, code = _looked_into(row, cause) or (kind, code)  # noqa: PLW2901
                return Failure(kind, code, _message(cause, hide), retry_after=_retry_after(cause))
    return Failure(Kind.ANSWER, "program_error", _where(error))


def not_published(error: BaseException) -> Failure:
    """Kafka refuses what the program says: no trouble of the model's."""
    message = f"token events were refused: {error}"
    return Failure(Kind.UPSTREAM, "tokens_not_published", message, "publishing")


def _looked_into(row: type[BaseException], error: BaseException) -> tuple[Kind, str] | None:
    """Where an exception means something else than its type says."""
    if row is dspy_errors.LMInvalidRequestError:
        return _BY_STATUS.get(getattr(error, "status", None))
    if row is dspy_errors.LMRateLimitError and _NEVER_FITS in str(error):
        return Kind.RECORD, "request_too_large"
    return None


def _where(error: BaseException) -> str:
    """What a program raises may quote the question or the answer; where it was raised does not."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"the program raised {type(error).__name__}{place}"


def _message(error: BaseException, hide: Callable[[str], str]) -> str:
    """Hidden before it is cut: half a key is still half of one."""
    if isinstance(error, PenstockError):
        said = hide(str(error).strip()) or type(error).__name__
        return str(whole_characters(said))[:1000]
    if isinstance(error, dspy_errors.AdapterParseError):
        # Its own message quotes the whole answer.
        wanted = ", ".join(error.signature.output_fields)
        return f"the answer does not hold the fields asked for: {wanted}"
    status: Any = getattr(error, "status", None)
    text = hide(str(getattr(error, "message", None) or error).strip()) or type(error).__name__
    # What follows the first line tells how to call a library that our reader does not call.
    text = text.splitlines()[0]
    prefix = f"HTTP {status}: " if status else ""
    return f"{prefix}{type(error).__name__}: {text}"[:1000]


def _retry_after(error: BaseException) -> float | None:
    value: Any = getattr(error, "retry_after", None)
    return float(value) if isinstance(value, int | float) and 0 <= value < math.inf else None
