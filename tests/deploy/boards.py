"""What stands in `deploy/grafana/`?"""

import json
from pathlib import Path
from typing import Any

GRAFANA = Path("deploy/grafana")
BOARDS = {path.name: json.loads(path.read_text()) for path in sorted(GRAFANA.glob("*.json"))}


def variables(board: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = board["templating"]["list"]
    return found


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def plain(expression: str, rate_interval: str = "1m") -> str:
    """With values in the place of variables."""
    values = (("__rate_interval", rate_interval), ("namespace", ".*"), ("program", ".*"))
    for name, value in values:
        expression = expression.replace(f"${name}", value)
    return expression.replace('job="$job"', 'job=~".*"').replace("$instance", ".*")
