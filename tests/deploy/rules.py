"""What stands in `deploy/prometheus/rules.yaml`?"""

from pathlib import Path
from typing import NamedTuple

import yaml

RULES = Path("deploy/prometheus/rules.yaml")
RULES_TEST = Path("deploy/prometheus/rules.test.yaml")
RUNBOOK = Path("docs/runbook.md")


class Alert(NamedTuple):
    name: str
    expr: str
    severity: str
    annotations: dict[str, str]

    @staticmethod
    def section(name: str) -> str:
        """Of the runbook, as its anchor is made of its heading."""
        return name.lower()


_rules = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]

ALERTS = [
    Alert(rule["alert"], rule["expr"], rule["labels"]["severity"], rule["annotations"])
    for rule in _rules
    if "alert" in rule
]
RECORDED = {rule["record"]: rule["expr"] for rule in _rules if "record" in rule}
