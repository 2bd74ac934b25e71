"""What does `package.module:attribute` name?

The only place that imports by a name it is given: those of settings and flags, and no others.
"""

import importlib
import sys
from pathlib import Path
from typing import Any

from penstock.errors import ConfigurationError


def is_entry(text: str) -> bool:
    """Whether it has the form."""
    module, _, attribute = text.partition(":")
    return bool(module and attribute)


def imported(entry: str) -> Any:
    """The current folder is importable.

    Raises:
        ConfigurationError: it cannot be imported; its cause is what was raised meanwhile.
    """
    module, _, attribute = entry.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise ConfigurationError(
            f"cannot import {entry!r}: {type(error).__name__}: {error}"
        ) from error
    return found
