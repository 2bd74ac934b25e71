"""CloudEvents 1.0 in Kafka's binary content mode: the headers around every value.

See the CloudEvents Kafka Protocol Binding 1.0.2, section 3.2.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache

Headers = tuple[tuple[str, bytes], ...]

TYPE_PREFIX = "dev.penstock."
TOKEN = f"{TYPE_PREFIX}token.v1"
COMPLETION = f"{TYPE_PREFIX}completion.v1"
CONTROL = f"{TYPE_PREFIX}control.v1"
QUESTION = f"{TYPE_PREFIX}question.v1"

_FIRST, _LAST = -62_135_596_800.0, 253_402_300_799.999
"""Unix seconds of the years 1 and 9999."""

_FIXED: Headers = (("ce_specversion", b"1.0"), ("content-type", b"application/json"))


def headers(
    type_: str, event_id: str, source: str, at: float, forwarded: Headers = ()
) -> list[tuple[str, bytes]]:
    """The headers of one event. `at` is Unix time in seconds."""
    return [
        *_FIXED,
        ("ce_type", type_.encode()),
        ("ce_source", source.encode()),
        ("ce_id", event_id.encode()),
        ("ce_time", rfc3339(at).encode()),
        *forwarded,
    ]


def source(group: str) -> str:
    """Of what the members of a group say."""
    return f"/penstock/{group}"


def rfc3339(at: float) -> str:
    """Unix seconds as RFC 3339 in UTC, with milliseconds. What is beyond its years, 1 to 9999, is
    at their end: somebody may have taken microseconds for milliseconds.
    """
    seconds, milliseconds = divmod(round(min(max(at, _FIRST), _LAST) * 1000), 1000)
    return f"{_second(seconds)}.{milliseconds:03d}Z"


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def text_header(headers: Iterable[tuple[str, bytes]], name: str) -> str | None:
    """The first header of that name as text; None where it is absent or not UTF-8."""
    for key, value in headers:
        if key == name and value is not None:
            try:
                return value.decode()
            except UnicodeDecodeError:
                return None
    return None
