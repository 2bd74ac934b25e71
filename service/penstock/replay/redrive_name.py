"""By which name is a redrive known that selects these dead letters?"""

import hashlib
import re
from collections.abc import Iterable

from penstock.errors import ConfigurationError

ALL = "all"
"""Of the redrive that selects nothing."""
_HASHED = 8
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


def name(words: Iterable[str]) -> str:
    """The same for the same words, whatever their order."""
    said = sorted(set(words))
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:_HASHED] if said else ALL


def checked(text: str) -> str:
    """A name that may stand in a header, and in the ids of a group and of its transactions.

    Raises:
        ConfigurationError: it may not.
    """
    if not _NAME.fullmatch(text):
        raise ConfigurationError(f"--id {text}: write letters, digits, . _ and -, 100 at most")
    return text
