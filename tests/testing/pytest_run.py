"""pytest, as a user runs it: in a folder of theirs, in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

# Whatever is said to these would reach somebody.
LOUD = {
    "KAFKA_BOOTSTRAP_SERVERS": "kafka.example.com:9092",
    "OPENAI_API_KEY": "a key that is paid for",
    "OPENAI_BASE_URL": "https://api.example.com/v1",
    "HTTP_PROXY": "http://proxy.example.com:3128",
    "PENSTOCK_RETRY__MAX_ATTEMPTS": "1",
    "PENSTOCK_DEADLINE__DEFAULT_MS": "1",
    "PENSTOCK_MODEL__NAME": "openai/gpt-4o",
}

_NOBODY_LEAVES = """
import socket
import sys


def look(event, args):
    if event == "socket.getaddrinfo" or (
        event in {"socket.connect", "socket.bind"} and args[0].family != socket.AF_UNIX
    ):
        raise AssertionError(f"the test wants to reach {args}")


sys.addaudithook(look)
"""


def run_pytest(folder: Path, *arguments: str, passes: bool = True) -> str:
    """What it says, when all tests have passed without a warning, or, where none of this is to be,
    when not all have; none may open the network.
    """
    (folder / "conftest.py").write_text(_NOBODY_LEAVES)
    command = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-W", "error", *arguments)
    ended = subprocess.run(
        command, cwd=folder, env=os.environ | LOUD, capture_output=True, text=True, check=False
    )
    assert (ended.returncode == 0) is passes, ended.stdout + ended.stderr
    return ended.stdout


def passed(output: str) -> int:
    found = re.search(r"(\d+) passed", output)
    assert found, output
    return int(found[1])
