"""Does what is deployed pass its tools' checks? The tests of `tests/deploy`, with every tool."""

import subprocess
import sys

from tests.acceptance.outcome import Outcome
from tests.deploy.tools import build


def deploy() -> Outcome:
    """Builds the tools that are missing; their tests say SKIPPED where one cannot be had."""
    outcome = Outcome()
    for name, why in build().items():
        print(f"SKIPPED: {name}: {why}", file=sys.stderr, flush=True)
        outcome.figures[f"without {name}"] = why
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/deploy"]
    run = subprocess.run(tests, capture_output=True, text=True, check=False)
    print(run.stdout, file=sys.stderr, flush=True)
    outcome.figures["tests"] = run.stdout.strip().splitlines()[-1]
    outcome.promise("tests/deploy pass", kept=run.returncode == 0)
    return outcome
