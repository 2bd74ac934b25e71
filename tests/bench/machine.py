"""Where a benchmark runs: figures from different machines, or from a busy one, do not compare."""

import os
import platform
import re
from pathlib import Path
from typing import Any

MACHINE = "machine"
"""What a file of figures calls it, beside the scenarios."""
LOAD = "load_before"


def machine() -> dict[str, Any]:
    """Asked before anything runs: the load is that of others."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        LOAD: round(os.getloadavg()[0], 2),
    }


def _processor() -> str:
    told = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", told.read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()
