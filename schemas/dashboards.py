"""Grafana's form of a table of panels: where each stands, its datasource, its queries.

Of `schemas.service_panels` and `schemas.gateway_panels`; `make schemas` writes the result to
`deploy/grafana/`. Grafana 10 and later read it.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

COLUMNS = 24
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
RUNBOOK = "docs/runbook.md"
"""Where it is, for who has this repository before him; the variable `runbook` names another
address."""

Kind = Literal["timeseries", "stat", "heatmap", "state-timeline"]
Steps = Sequence[tuple[float, str]]
"""From which value on which colour; below the first of them it is green."""

PROGRAMS = '@, program=~"$program"'
"""In a selector: those that are looked at, of the members that are."""

# What the variables of a dashboard choose, in the place of `@`.
_SELECTED = 'namespace=~"$namespace", job="$job", instance=~"$instance"'


class Query(NamedTuple):
    """`expression`: `@` stands for the members that are looked at."""

    expression: str
    legend: str


class Panel(NamedTuple):
    """One answer.

    Args:
        title: what is seen.
        means: what it says, and what to do where it is not as it should be.
        unit: as Grafana calls it: `s`, `bytes`, `reqps`, `percentunit`, `short` ...
        queries: what is drawn.
        kind: how.
        width: of 24 columns.
        height: rows of 30 pixels.
        steps: thresholds.
        stacked: one on the other.
        exemplars: whether traces are offered as points.
        words: what values are called, with their colours.
        colours: of series, by their legend.
        alert: whose section of the runbook belongs to it.
        most: end of the scale.
    """

    title: str
    means: str
    unit: str
    queries: Sequence[Query]
    kind: Kind = "timeseries"
    width: int = 8
    height: int = 7
    steps: Steps = ()
    stacked: bool = False
    exemplars: bool = False
    words: Sequence[tuple[float, str, str]] = ()
    colours: Sequence[tuple[str, str]] = ()
    alert: str | None = None
    most: float | None = None


class Row(NamedTuple):
    title: str
    panels: Sequence[Panel]


class Dashboard(NamedTuple):
    """`uid`: fixed, for links. `found_by`: the metric that has the jobs it is about.
    `by_program`: whether one chooses programs.
    """

    uid: str
    title: str
    means: str
    found_by: str
    rows: Sequence[Row]
    by_program: bool = False


def quantiles(metric: str, labels: str = PROGRAMS) -> tuple[Query, ...]:
    """p50, p95 and p99 of a histogram; where nothing was observed there is nothing."""
    rate = f"sum by (le) (rate({metric}_bucket{{{labels}}}[$__rate_interval]))"
    return tuple(
        Query(f"histogram_quantile({q}, {rate}) >= 0", f"p{q * 100:.0f}") for q in (0.5, 0.95, 0.99)
    )


def heat(metric: str) -> tuple[Query, ...]:
    grown = f"increase({metric}_bucket{{{PROGRAMS}}}[$__rate_interval])"
    return (Query(f"sum by (le) ({grown})", "{{le}}"),)


def rendered(dashboard: Dashboard) -> dict[str, Any]:
    """As Grafana imports it."""
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "description": dashboard.means,
        "tags": ["penstock", "kafka", "llm"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "",
        "links": [
            {
                "type": "dashboards",
                "title": "Penstock",
                "tags": ["penstock"],
                "includeVars": True,
                "keepTime": True,
            },
            _link("Runbook", ""),
        ],
        "annotations": {"list": [_alerts()]},
        "templating": {"list": list(_variables(dashboard))},
        "panels": list(_panels(dashboard)),
    }


def _panels(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    number, y = 1, 0
    for row in dashboard.rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1},
        }
        number, y, x, line = number + 1, y + 1, 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, line = 0, y + line, 0
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            yield _panel(panel, number, place)
            number, x, line = number + 1, x + panel.width, max(line, panel.height)
        y += line


def _panel(panel: Panel, number: int, place: dict[str, int]) -> dict[str, Any]:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.means,
        "gridPos": place,
        "datasource": SOURCE,
        "links": [_link("Runbook", f"#{panel.alert.lower()}")] if panel.alert else [],
        "targets": [
            _target(panel, query, chr(ord("A") + n)) for n, query in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": _defaults(panel),
            "overrides": [
                {
                    "matcher": {"id": "byName", "options": name},
                    "properties": [
                        {"id": "color", "value": {"mode": "fixed", "fixedColor": colour}}
                    ],
                }
                for name, colour in panel.colours
            ],
        },
        "options": _OPTIONS[panel.kind](panel),
    }


def _target(panel: Panel, query: Query, letter: str) -> dict[str, Any]:
    return {
        "refId": letter,
        "datasource": SOURCE,
        "editorMode": "code",
        "expr": query.expression.replace("@", _SELECTED),
        "legendFormat": query.legend,
        "range": True,
        "exemplar": panel.exemplars,
        "format": "heatmap" if panel.kind == "heatmap" else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    steps = [{"value": value, "color": colour} for value, colour in ((None, "green"), *panel.steps)]
    # What never falls below zero is drawn from there; of a heatmap the buckets are the scale.
    found: dict[str, Any] = {"unit": panel.unit, "noValue": "-", "min": 0}
    found["thresholds"] = {"mode": "absolute", "steps": steps}
    coloured = panel.kind == "stat" or panel.words
    found["color"] = {"mode": "thresholds" if coloured else "palette-classic"}
    if panel.most is not None:
        found["max"] = panel.most
    if panel.words:
        options = {
            f"{value:g}": {"text": text, "color": colour, "index": n}
            for n, (value, text, colour) in enumerate(panel.words)
        }
        found["mappings"] = [{"type": "value", "options": options}]
    if panel.kind == "timeseries":
        found["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 30 if panel.stacked else 5,
            "showPoints": "never",
            "spanNulls": False,
            "stacking": {"mode": "normal" if panel.stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "dashed" if panel.steps else "off"},
        }
    return found


def _of_a_line(_: Panel) -> dict[str, Any]:
    legend = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
    return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}


def _of_a_figure(panel: Panel) -> dict[str, Any]:
    return {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "colorMode": "background" if panel.words else "value",
        "graphMode": "none" if panel.words else "area",
        "textMode": "value_and_name" if len(panel.queries) > 1 else "auto",
        "orientation": "auto",
        "justifyMode": "auto",
    }


def _of_heat(panel: Panel) -> dict[str, Any]:
    return {
        "calculate": False,
        "yAxis": {"unit": panel.unit, "axisPlacement": "left"},
        "color": {"mode": "scheme", "scheme": "Blues", "steps": 64},
        "cellGap": 1,
        "filterValues": {"le": 1e-9},
        "exemplars": {"color": "orange"},
        "legend": {"show": True},
        "tooltip": {"mode": "single", "show": True, "yHistogram": False},
    }


def _of_states(_: Panel) -> dict[str, Any]:
    return {
        "mergeValues": True,
        "showValue": "never",
        "alignValue": "left",
        "rowHeight": 0.8,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "single"},
    }


_OPTIONS = {
    "timeseries": _of_a_line,
    "stat": _of_a_figure,
    "heatmap": _of_heat,
    "state-timeline": _of_states,
}


def _link(title: str, section: str) -> dict[str, Any]:
    return {
        "type": "link",
        "title": title,
        "url": f"${{runbook:raw}}{section}",
        "targetBlank": True,
        "icon": "doc",
    }


def _alerts() -> dict[str, Any]:
    """Where one fires, the graphs show it."""
    return {
        "name": "Alerts",
        "datasource": SOURCE,
        "enable": True,
        "iconColor": "red",
        "expr": 'ALERTS{alertname=~"Penstock.*", alertstate="firing", namespace=~"$namespace"}',
        "titleFormat": "{{alertname}}",
        "textFormat": "{{severity}}",
        "step": "30s",
    }


def _variables(dashboard: Dashboard) -> Iterator[dict[str, Any]]:
    yield {
        "name": "datasource",
        "label": "Prometheus",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
    }
    metric = dashboard.found_by
    within = 'namespace=~"$namespace"'
    yield _chosen("namespace", "Namespace", f"label_values({metric}, namespace)", several=True)
    yield _chosen("job", "Service", f"label_values({metric}{{{within}}}, job)", several=False)
    members = f'label_values({metric}{{{within}, job="$job"}}, instance)'
    yield _chosen("instance", "Member", members, several=True)
    if dashboard.by_program:
        programs = f'label_values(penstock_questions_ended_total{{{within}, job="$job"}}, program)'
        yield _chosen("program", "Program", programs, several=True)
    yield {
        "name": "runbook",
        "label": "Runbook",
        "description": "Its address, to which every link of a panel leads.",
        "type": "textbox",
        "query": RUNBOOK,
        "current": {"text": RUNBOOK, "value": RUNBOOK},
        "options": [{"text": RUNBOOK, "value": RUNBOOK, "selected": True}],
    }


def _chosen(name: str, label: str, query: str, *, several: bool) -> dict[str, Any]:
    """All of them match the series without this label, too."""
    found: dict[str, Any] = {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": several,
        "includeAll": several,
    }
    if several:
        everything = {"selected": True, "text": ["All"], "value": ["$__all"]}
        found |= {"allValue": ".*", "current": everything}
    return found
