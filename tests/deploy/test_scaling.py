"""How many replicas KEDA is told to have: the queries, and the traps of its Kafka trigger."""

import json
import subprocess
from pathlib import Path

import promql_parser
import pytest
import yaml

from penstock.telemetry import metrics
from tests.deploy.manifests import KUBERNETES
from tests.deploy.tools import tool
from tests.deploy.validation import objects

(SCALER,) = objects((KUBERNETES / "components" / "keda" / "keda.yaml").read_text())
KAFKA, PROMETHEUS = SCALER["spec"]["triggers"]
QUERY = PROMETHEUS["metadata"]["query"]
SHARE = int(PROMETHEUS["metadata"]["threshold"])


def test_the_first_question_wakes_and_lag_does_not_multiply() -> None:
    said = KAFKA["metadata"]
    assert KAFKA["type"] == "kafka"
    assert {
        name: said[name]
        for name in (
            "activationLagThreshold",
            "offsetResetPolicy",
            "scaleToZeroOnInvalidOffset",
            "excludePersistentLag",
            "allowIdleConsumers",
            "limitToPartitionsWithLag",
        )
    } == {
        "activationLagThreshold": "0",
        "offsetResetPolicy": "earliest",
        "scaleToZeroOnInvalidOffset": "false",
        "excludePersistentLag": "false",
        "allowIdleConsumers": "false",
        "limitToPartitionsWithLag": "false",
    }
    assert int(said["lagThreshold"]) >= 10**9


def test_who_hands_over_had_time_to_be_needed_again() -> None:
    """One at a time, and not before the longest question that runs now has had its time."""
    down = SCALER["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    longest_s = 600
    assert down["stabilizationWindowSeconds"] >= longest_s
    assert down["policies"] == [{"type": "Pods", "value": 1, "periodSeconds": 120}]
    assert SCALER["spec"]["cooldownPeriod"] >= longest_s
    assert "fallback" not in SCALER["spec"]
    assert PROMETHEUS["metadata"]["ignoreNullValues"] == "false"


def test_the_query_is_promql_of_metrics_that_are_there() -> None:
    promql_parser.parse(QUERY)
    assert metrics.BACKLOG in metrics.SERVICE
    assert metrics.BACKLOG.served_as in QUERY
    assert metrics.BACKLOG.labels == ("partition",)


OURS = 'namespace="penstock",job="penstock/penstock",container="penstock"'
GATEWAY = 'up{namespace="penstock",job="penstock/penstock",container="gateway",pod="g"}'


def _up(pod: str) -> str:
    return f'up{{{OURS},pod="{pod}"}}'


def _backlog(pod: str, partition: int) -> str:
    return f'penstock_backlog{{{OURS},pod="{pod}",partition="{partition}"}}'


CASES: dict[str, tuple[dict[str, float], float | None]] = {
    "no pod: nothing, and no error": ({GATEWAY: 1}, 0),
    "nothing to do": ({_up("a"): 1, _backlog("a", 0): 0, _backlog("a", 1): 0}, 0),
    "the sum": ({_up("a"): 1, _backlog("a", 0): 100, _backlog("a", 1): 60}, 160),
    "a partition counts for one replica": (
        {_up("a"): 1, _backlog("a", 0): 100_000, _backlog("a", 1): 10},
        SHARE + 10,
    ),
    "two members report one partition": (
        {_up("a"): 1, _up("b"): 1, _backlog("a", 0): 40, _backlog("b", 0): 50},
        50,
    ),
    "a pod that says nothing: no data, which is an error": ({_up("a"): 1, GATEWAY: 1}, None),
    "a pod that is not reached": ({_up("a"): 0}, None),
    "others' backlog": (
        {GATEWAY: 1, 'penstock_backlog{namespace="other",container="penstock",partition="0"}': 9},
        0,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_the_query_says(case: str, tmp_path: Path) -> None:
    series, wanted = CASES[case]
    samples = [] if wanted is None else [{"labels": _labels(series), "value": wanted}]
    suite = {
        "evaluation_interval": "15s",
        "tests": [
            {
                "interval": "15s",
                "input_series": [{"series": s, "values": f"{v:g}x8"} for s, v in series.items()],
                "promql_expr_test": [{"expr": QUERY, "eval_time": "2m", "exp_samples": samples}],
            }
        ],
    }
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": []}))
    file = tmp_path / "suite.yaml"
    file.write_text(json.dumps(suite | {"rule_files": ["rules.yaml"]}))
    run = subprocess.run(
        [tool("promtool"), "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def _labels(series: dict[str, float]) -> str:
    """Of what `absent` says: what it looked for."""
    there = any(one.startswith("penstock_backlog{") and OURS in one for one in series)
    return "{}" if there else f"{{{OURS}}}"
