"""What is scraped is what Prometheus' own linter wants to see."""

import subprocess

from penstock.core.facts import Reading
from penstock.telemetry import series
from tests.core.driven import Driven
from tests.deploy.tools import tool
from tests.support.scraping import quiet


def test_promtool_has_nothing_to_say_of_a_scrape() -> None:
    counts = quiet(
        engine=Driven().engine,
        lag={0: 5},
        readings={0: Reading(1, 0, 0, 5)},
        committed_at={0: 0.0},
    )
    said, _ = series.text(counts.registry, "")
    run = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=said, capture_output=True, check=False
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, b"")
