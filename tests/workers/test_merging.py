"""What several workers say, as one scrape: by the rule of each family."""

import subprocess

import pytest
from prometheus_client.core import Metric

from penstock.core.facts import Reading
from penstock.telemetry import metrics
from penstock.telemetry.counting import Counts
from penstock.telemetry.series import text
from penstock.workers.door import Said
from penstock.workers.merging import ACCEPT, Measured, merged, read
from tests.core.driven import Driven
from tests.deploy.tools import tool
from tests.support.scraping import Scrape, quiet

PAUSED = 'penstock_paused{scope="all"}'

# A series, what each worker says of it, and what is served.
CASES = {
    "a counter adds up": ("penstock_attempts_total", "counter", [2, 3], 5),
    "slots add up": ("penstock_slots", "gauge", [64, 64], 128),
    "one that cannot reach Kafka": ("penstock_kafka_reachable", "gauge", [1, 0], 0),
    "one whose gate is shut": ("penstock_gate_shut", "gauge", [0, 1, 0], 1),
    "all are paused, which is one pause": (PAUSED, "gauge", [1, 1], 1),
    "a partition that moves is no two": (
        'penstock_backlog{partition="3"}',
        "gauge",
        [40, 38],
        40,
    ),
    "one release": ('penstock_build_info{version="1"}', "gauge", [1, 1], 1),
    "the least room for what a commit says": (
        "penstock_offset_map_limit_bytes",
        "gauge",
        [3000, 2000],
        2000,
    ),
    "memory adds up": ("process_resident_memory_bytes", "gauge", [1e8, 2e8], 3e8),
    "the last that was started": ("process_start_time_seconds", "gauge", [10, 30, 20], 30),
    "the one with most files open": ("process_open_fds", "gauge", [20, 30], 30),
    "the one that may open the fewest": ("process_max_fds", "gauge", [1000, 900], 900),
}


def _said(series: str, kind: str, value: float) -> list[Metric]:
    family = series.partition("{")[0].removesuffix("_total")
    return read(f"# TYPE {family} {kind}\n{series} {value}\n# EOF\n")


def _served(metrics: list[Metric]) -> Scrape:
    return Scrape(text(Said(metrics), "")[0].decode())


def _values(metrics: list[Metric]) -> list[float]:
    return [sample.value for metric in metrics for sample in metric.samples]


@pytest.mark.parametrize(("series", "kind", "says", "served"), CASES.values(), ids=CASES)
def test_what_is_served_of_one_series(
    series: str, kind: str, says: list[float], served: float
) -> None:
    assert _values(merged(_said(series, kind, value) for value in says)) == [served]


def test_every_gauge_of_a_partition_or_a_state_is_no_sum() -> None:
    """A sum of ones is a count, and a sum of shares is nothing."""
    for family in metrics.SERVICE:
        if family.kind == "gauge" and ("partition" in family.labels or "1: " in family.means):
            assert metrics.together(family.name) != "sum", family.name


def _counts(late: int) -> Counts:
    """As those of a whole service, whose loop was late so often."""
    counts = quiet(
        engine=Driven().engine,
        lag={0: 5},
        readings={0: Reading(1, 0, 0, 5)},
        committed_at={0: 0.0},
    )
    for _ in range(late):
        counts.late(0.02)
    return counts


def _read(counts: Counts) -> list[Metric]:
    return read(text(counts.registry, ACCEPT)[0].decode())


def test_a_whole_scrape_of_two_has_every_family_and_satisfies_the_linter() -> None:
    both = merged([_read(_counts(2)), _read(_counts(3))])
    served = _served(both)
    assert served.kinds == {family.name: family.kind for family in metrics.SERVICE}
    assert served["penstock_event_loop_lag_seconds_count"] == 5
    assert served['penstock_event_loop_lag_seconds_bucket{le="0.025"}'] == 5
    assert served['penstock_event_loop_lag_seconds_bucket{le="0.01"}'] == 0
    assert served["penstock_event_loop_lag_seconds_sum"] == pytest.approx(0.1)
    openmetrics, _ = text(Said(both), ACCEPT)
    # It refuses what is out of order, or not of its type.
    assert read(openmetrics.decode())
    classic, _ = text(Said(both), "")
    run = subprocess.run(
        [tool("promtool"), "check", "metrics"], input=classic, capture_output=True, check=False
    )
    assert (run.returncode, run.stdout + run.stderr) == (0, b"")


def _bucket(count: int, exemplar: str) -> list[Metric]:
    name = "penstock_first_token_seconds"
    return read(
        f"# TYPE {name} histogram\n"
        f'{name}_bucket{{program="qa",le="0.5"}} {count}{exemplar}\n'
        f'{name}_bucket{{program="qa",le="+Inf"}} {count}\n'
        f'{name}_count{{program="qa"}} {count}\n{name}_sum{{program="qa"}} 0.1\n# EOF\n'
    )


def test_of_two_examples_the_newer_is_kept() -> None:
    old, new = ' # {trace_id="a"} 0.1 100.5', ' # {trace_id="b"} 0.2 101.25'
    for pair in ((old, new), (new, old), ("", new)):
        both = merged(_bucket(1, exemplar) for exemplar in pair)
        said, _ = text(Said(both), ACCEPT)
        assert 'le="0.5",program="qa"} 2.0 # {trace_id="b"} 0.2 101.250000000\n' in said.decode()


ATTEMPTS = "penstock_attempts_total"


def test_a_counter_does_not_fall_when_a_worker_begins_anew() -> None:
    measured = Measured()
    counted = [
        measured.says(_said(ATTEMPTS, "counter", 10)),
        measured.says_nothing(),
        measured.says(_said(ATTEMPTS, "counter", 12)),
    ]
    measured.ended()
    counted.append(measured.says_nothing())
    counted += [measured.says(_said(ATTEMPTS, "counter", value)) for value in (0, 3)]
    measured.ended()
    measured.ended()
    counted.append(measured.says(_said(ATTEMPTS, "counter", 1)))
    assert [_values(one) for one in counted] == [[10], [10], [12], [12], [12], [15], [16]]


def test_how_a_worker_is_that_does_not_answer_nobody_knows() -> None:
    measured = Measured()
    measured.says([*_said(ATTEMPTS, "counter", 1), *_said("penstock_slots", "gauge", 64)])
    assert [metric.name for metric in measured.says_nothing()] == ["penstock_attempts"]


def test_a_rebalance_that_all_have_seen_is_one() -> None:
    name = "penstock_rebalance_duration_seconds"

    def seen(count: int) -> list[Metric]:
        return read(
            f'# TYPE {name} histogram\n{name}_bucket{{le="+Inf"}} {count}\n'
            f"{name}_count {count}\n{name}_sum {count}\n# EOF\n"
        )

    died = Measured()
    died.says(seen(2))
    died.ended()
    served = _served(merged([died.says(seen(1)), seen(2)]))
    assert served[f"{name}_count"] == 3
