"""Is all that happens to be seen? Mixed load with faults, scraped by a real Prometheus: each panel
of the dashboards has data, each rule can be evaluated, and what is served passes `promtool`.
"""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.acceptance.mishaps import Crew, Provider, host, mishaps, through_the_gateway
from tests.acceptance.outcome import Outcome
from tests.acceptance.picture import Chart, Figure, Line, States, drawn, shot
from tests.deploy.boards import BOARDS, panels, plain
from tests.deploy.tools import tool
from tests.support.model_server import model_server
from tests.support.processes import ROOT, gateway
from tests.support.prometheus import Prometheus, Series, prometheus
from tests.support.traffic import World, asking, reading, world

SCRAPE_SECONDS = 1.0
STEP_SECONDS = 1.0
RATE = "10s"
PATIENCE_SECONDS = 120
PICTURE = ROOT / "docs" / "dashboard.png"
JOBS = {"penstock.json": "penstock", "penstock-gateway.json": "penstock-gateway"}

IN_THE_PICTURE = (
    *("Ended, by status", "Backlog", "Slots"),
    *("Time to first token", "Duration", "Waiting for the first start"),
    *("Models that are not called", "Failed attempts, by kind and code", "Running elsewhere"),
    *("Pieces of text", "Pieces of text, merged", "Dead letters in an hour, by code"),
)
"""Of the rows below the first one of the service's dashboard."""


async def seen(servers: str, *, seconds: float = 120, picture: Path | None = PICTURE) -> Outcome:
    """Two members and a gateway; `seconds` of it are load."""
    outcome = Outcome()
    try:
        tool("prometheus"), tool("promtool")
    except pytest.skip.Exception as skipped:
        print(skipped, file=sys.stderr, flush=True)
        outcome.figures["skipped"] = str(skipped)
        return outcome
    async with (
        world(servers, "seen") as kafka,
        model_server() as server,
        prometheus(every_seconds=SCRAPE_SECONDS) as watching,
        gateway(kafka, {"GATEWAY__TELEMETRY_PORT": 0, "DEFAULT_PROGRAM": "qa"}) as door,
        AsyncExitStack() as stack,
    ):
        crew = Crew(kafka, server, watching, stack)
        await asyncio.gather(crew.join("answers-0"), crew.join("answers-1"))
        measured = json.loads(await door.says("telemetry"))["telemetry"]
        watching.targets("penstock-gateway", {"door-0": host(measured)})
        begun = time.time()
        async with asking(kafka) as asker, through_the_gateway(door.address):
            code = await mishaps(crew, Provider(server), asker, seconds)
        busy = time.time()
        questions = await _all_ended(kafka, seconds)
        # What was last is scraped, and the rates have seen the end of it.
        await asyncio.sleep(5 * SCRAPE_SECONDS)
        found = [look async for look in _looks(watching, begun, time.time())]
        faults = {
            name: await _faults_of(address)
            for name, address in (("serve", crew.address), ("gateway", measured))
        }
        rules = await _rules(watching)
        outcome.figures |= {
            "questions": questions,
            "seconds": round(time.time() - begun),
            "panels": len({(look.board, look.panel["id"]) for look in found}),
            "queries": len(found),
            "rules": len(rules),
            "fired": sorted(rule["name"] for rule in rules if rule.get("state") == "firing"),
            "series": len(await watching.get("series", **_OURS)),
            "samples": round(
                await watching.value("sum(sum_over_time(scrape_samples_scraped[10m]))")
            ),
        }
        if picture is not None:
            await shot(await _page(watching, found, begun, busy), picture)
    empty = [f"{look.board}: {look.panel['title']}: {look.legend}" for look in found if look.empty]
    outcome.promise(f"each panel has data, not {empty}", kept=not empty)
    outcome.promise(f"promtool finds no fault: {faults}", kept=not any(faults.values()))
    failed = [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]
    outcome.promise(f"each rule can be evaluated: {failed}", kept=not failed)
    outcome.promise(f"exit code 0, not {code}", kept=code == 0)
    return outcome


_OURS = {"match[]": '{__name__=~"penstock_.*|process_.*"}'}


async def _all_ended(kafka: World, seconds: float) -> int:
    """Until each question has its completion; gives how many there are."""
    async with reading(kafka, "questions") as asked, reading(kafka, "completions") as completions:
        questions = await asked.written()
        async with asyncio.timeout(PATIENCE_SECONDS + seconds):
            await completions.until_ended(questions)
    return questions


# --- what is seen of it ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """At one query of a panel."""

    board: str
    panel: dict[str, Any]
    legend: str
    series: list[Series]

    @property
    def empty(self) -> bool:
        return not any(one.points for one in self.series)

    @property
    def lines(self) -> Iterator[Line]:
        for labels, points in self.series:
            name = self.legend
            for label, value in labels.items():
                name = name.replace(f"{{{{{label}}}}}", value)
            yield Line(name, points)


async def _looks(watching: Prometheus, begun: float, ended: float) -> AsyncIterator[Look]:
    for board, content in BOARDS.items():
        for panel in panels(content):
            for target in panel["targets"]:
                expression = plain(target["expr"], rate_interval=RATE).replace(
                    'job=~".*"', f'job="{JOBS[board]}"'
                )
                series = await watching.range(expression, begun, ended, step=STEP_SECONDS)
                yield Look(board, panel, target["legendFormat"], series)


async def _rules(watching: Prometheus) -> list[dict[str, Any]]:
    return [rule for group in (await watching.get("rules"))["groups"] for rule in group["rules"]]


async def _faults_of(address: str) -> str:
    """What promtool says of what is served there."""
    async with aiohttp.ClientSession() as session, session.get(address) as response:
        served = await response.read()
    lint = await asyncio.create_subprocess_exec(
        *(tool("promtool"), "check", "metrics"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await lint.communicate(served)
    return said.decode().strip()


async def _page(watching: Prometheus, looks: list[Look], begun: float, busy: float) -> str:
    """The service's dashboard as it stands while there is load."""
    charts: dict[str, list[Look]] = {}
    figures: dict[str, list[Look]] = {}
    for look in looks:
        if look.board == "penstock.json":
            into = figures if look.panel["type"] == "stat" else charts
            into.setdefault(look.panel["title"], []).append(look)
    title = "Penstock <small>two members; one is killed, one is replaced, a model is away</small>"
    shown = [_chart(charts[name], busy) for name in IN_THE_PICTURE]
    return drawn(
        title, [_figure(one, busy) for one in figures.values()], shown, begun, busy, STEP_SECONDS
    )


def _figure(looks: list[Look], at: float) -> Figure | States:
    panel = looks[0].panel
    last = {line.name: _last(line, at) for look in looks for line in look.lines}
    defaults = panel["fieldConfig"]["defaults"]
    if "mappings" in defaults:
        return States(panel["title"], {name: bool(value) for name, value in last.items()})
    steps = [step["value"] for step in defaults["thresholds"]["steps"] if step["color"] == "red"]
    value = next(iter(last.values()), None)
    return Figure(panel["title"], defaults["unit"], value, next(iter(steps), None))


def _last(line: Line, at: float) -> float | None:
    return next((value for time_, value in reversed(line.points) if time_ <= at), None)


def _chart(looks: list[Look], until: float) -> Chart:
    panel = looks[0].panel
    config = panel["fieldConfig"]
    stacking = config["defaults"].get("custom", {}).get("stacking", {})
    [words] = [one["options"] for one in config["defaults"].get("mappings", [])] or [{}]
    return Chart(
        panel["title"],
        config["defaults"]["unit"],
        [
            Line(line.name, [point for point in line.points if point[0] <= until])
            for look in looks
            for line in look.lines
        ],
        stacked=stacking.get("mode") == "normal",
        colours={
            one["matcher"]["options"]: one["properties"][0]["value"]["fixedColor"]
            for one in config["overrides"]
        },
        states={float(value): (word["text"], word["color"]) for value, word in words.items()},
    )
