"""A real Prometheus that scrapes processes of ours, and its HTTP API.

async with prometheus(every_seconds=1) as watching:
    watching.targets("penstock", {"a": "localhost:9464"})
    series = await watching.range("up", begun, ended, step=1)
"""

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import aiohttp
import yaml

from tests.deploy.rules import RULES
from tests.deploy.tools import tool
from tests.support.processes import Running, process

LISTENS = r'(?<="Listening on" component=web address=)\S+'


class Series(NamedTuple):
    """`points`: Unix seconds and values, without those that are no number."""

    labels: dict[str, str]
    points: list[tuple[float, float]]


class Prometheus:
    def __init__(self, running: Running, folder: Path) -> None:
        self._address = f"http://{running.address}"
        self._folder = folder
        self._jobs: dict[str, Mapping[str, str]] = {}

    def targets(self, job: str, members: Mapping[str, str]) -> None:
        """Whom it scrapes from now on, host and port by the name of the instance."""
        self._jobs[job] = members
        told = [
            {"targets": [at], "labels": {"job": name, "instance": instance}}
            for name, members in self._jobs.items()
            for instance, at in members.items()
        ]
        # Renamed into its place: it looks whenever the file changes.
        written = self._folder / "written"
        written.write_text(json.dumps(told))
        written.rename(self._folder / "targets.json")

    async def range(
        self, expression: str, begun: float, ended: float, *, step: float
    ) -> list[Series]:
        found = await self.get(
            "query_range", query=expression, start=f"{begun}", end=f"{ended}", step=f"{step}"
        )
        return [
            Series(
                one["metric"],
                [(at, float(value)) for at, value in one["values"] if re.match(r"[-\d]", value)],
            )
            for one in found["result"]
        ]

    async def value(self, expression: str) -> float:
        """Of what gives one number, now."""
        [one] = (await self.get("query", query=expression))["result"]
        return float(one["value"][1])

    async def get(self, what: str, **parameters: str) -> Any:
        """Of `/api/v1`."""
        url = f"{self._address}/api/v1/{what}"
        async with aiohttp.ClientSession() as session, session.get(url, params=parameters) as said:
            answer = await said.json()
        assert answer["status"] == "success", f"{parameters}: {answer}"
        return answer["data"]


@asynccontextmanager
async def prometheus(*, every_seconds: float) -> AsyncIterator[Prometheus]:
    """With the alerts of this repository. Skips where it is not built."""
    program = tool("prometheus")
    every = f"{every_seconds * 1000:.0f}ms"
    with TemporaryDirectory(prefix="penstock-prometheus-") as name:
        folder = Path(name)
        config = {
            "global": {
                "scrape_interval": every,
                "scrape_timeout": every,
                "evaluation_interval": every,
            },
            "rule_files": [str(RULES.resolve())],
            "storage": {"exemplars": {"max_exemplars": 10_000}},
            "scrape_configs": [
                {
                    "job_name": "members",
                    "file_sd_configs": [{"files": ["targets.json"], "refresh_interval": every}],
                }
            ],
        }
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        (folder / "targets.json").write_text("[]")
        flags = (
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            "--web.listen-address=127.0.0.1:0",
            "--enable-feature=exemplar-storage",
        )
        async with process(str(program), *flags, says=LISTENS, folder=folder) as running:
            yield Prometheus(running, folder)
