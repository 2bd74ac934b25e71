"""Do the dashboards ask for what is there, and do they say what they show?"""

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from penstock.telemetry.metrics import GATEWAY, SERVICE
from schemas.__main__ import dashboards
from tests.deploy.boards import BOARDS, GRAFANA, panels, plain, variables
from tests.deploy.promql import asked, complaints, stored
from tests.deploy.rules import ALERTS, Alert

COLUMNS = 24
# Of Grafana 10 and later, as its documentation lists them.
UNITS = {"short", "s", "bytes", "percentunit", "reqps", "cps"}
KINDS = {"timeseries", "stat", "heatmap", "state-timeline"}


def queries() -> Iterator[tuple[str, str, str]]:
    """Where it stands, what it asks, and its legend."""
    for name, board in BOARDS.items():
        for panel in panels(board):
            for target in panel["targets"]:
                where = f"{name}: {panel['title']}"
                yield where, plain(target["expr"]), target["legendFormat"]


@pytest.mark.parametrize(("name", "content"), dashboards().items(), ids=dashboards())
def test_the_committed_file_is_what_the_panels_say(name: str, content: str) -> None:
    assert (GRAFANA / name).read_text() == content, "run `make schemas`"


def test_every_query_asks_for_what_is_there() -> None:
    wrong = [
        f"{where}: {complaint}"
        for where, expression, legend in queries()
        for complaint in complaints(expression, re.findall(r"\{\{(\w+)\}\}", legend))
    ]
    assert not wrong


def test_processes_are_those_of_the_dashboard() -> None:
    """In Kubernetes the service and its gateway are one job."""
    of_both = ("process_", "penstock_build_info")
    found_by = {
        "penstock.json": "penstock_slots",
        "penstock-gateway.json": "penstock_gateway_streams",
    }
    for where, expression, _ in queries():
        board = where.partition(":")[0]
        if any(name.startswith(of_both) for name in asked(expression).metrics):
            assert f"and on (namespace, job, instance) {found_by[board]}" in expression, where


def test_every_metric_serves_a_panel_or_an_alert() -> None:
    there = stored()
    asking = [expression for _, expression, _ in queries()] + [one.expr for one in ALERTS]
    used = {there[name].family for each in asking for name in asked(each).metrics & there.keys()}
    unused = [family.name for family in (*SERVICE, *GATEWAY) if family not in used]
    assert not unused


@pytest.mark.parametrize("name", BOARDS)
def test_a_panel_says_what_it_shows(name: str) -> None:
    for panel in panels(BOARDS[name]):
        assert panel["title"]
        assert len(panel["description"]) > len("Resident"), panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert panel["type"] in KINDS
        assert panel["targets"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters)
        assert all(target["legendFormat"] for target in panel["targets"])


def test_latency_is_shown_with_its_traces() -> None:
    """Where a time is a question's or a request's, its histogram has exemplars."""
    traced = ("queued", "first_token", "per_token", "question_duration", "gateway_request")
    for board in BOARDS.values():
        for panel in panels(board):
            asks = " ".join(target["expr"] for target in panel["targets"])
            if panel["type"] != "stat" and any(f"{name}_seconds_bucket" in asks for name in traced):
                assert all(target["exemplar"] for target in panel["targets"]), panel["title"]


@pytest.mark.parametrize("name", BOARDS)
def test_no_panel_lies_on_another(name: str) -> None:
    taken: dict[tuple[int, int], str] = {}
    for panel in BOARDS[name]["panels"]:
        place = panel["gridPos"]
        assert place["x"] >= 0
        assert place["x"] + place["w"] <= COLUMNS
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert (x, y) not in taken, f"{panel['title']} on {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_what_identifies_is_fixed_and_there_once() -> None:
    assert {board["uid"] for board in BOARDS.values()} == {"penstock", "penstock-gateway"}
    for board in BOARDS.values():
        # A number would be that of one Grafana's database.
        assert "id" not in board
        assert board["schemaVersion"] == 39, "Grafana 10 reads it; later ones bring it up to date"
        numbers = [panel["id"] for panel in board["panels"]]
        assert len(set(numbers)) == len(numbers)


def test_what_one_chooses_is_there_before_it_is_used() -> None:
    """Grafana asks for the variables in their order."""
    for board in BOARDS.values():
        names = [variable["name"] for variable in variables(board)]
        assert names[:4] == ["datasource", "namespace", "job", "instance"]
        for n, variable in enumerate(variables(board)):
            if variable["type"] == "query":
                query = variable["query"]["query"]
                assert set(re.findall(r"\$(\w+)", query)) <= set(names[:n]), query
                selector, _, label = query.removeprefix("label_values(")[:-1].rpartition(", ")
                assert not list(complaints(plain(selector), [label]))
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(board["panels"] + board["links"])))
        assert used == set(names) | {"__rate_interval"}
    assert all(earlier != later for earlier, later in pairwise(BOARDS))


def test_a_link_leads_to_a_section_of_the_runbook() -> None:
    sections = {Alert.section(one.name) for one in ALERTS}
    for board in BOARDS.values():
        for panel in panels(board):
            for link in panel["links"]:
                address, _, section = link["url"].partition("#")
                assert address == "${runbook:raw}"
                assert section in sections, panel["title"]
        [runbook] = [one for one in variables(board) if one["name"] == "runbook"]
        assert Path(runbook["query"]).exists()
