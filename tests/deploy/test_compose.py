"""The compose files: by their schema, by how Docker reads them, and by what we ask of them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.kafka.describe import Cluster
from penstock.kafka.preflight import Sight
from penstock.kafka.rights import SERVICE
from penstock.kafka.topic_plan import config, partitions
from penstock.settings import Settings
from tests.deploy.tools import tool
from tests.deploy.topics import OF_KAFKA, WANTED
from tests.support.processes import ROOT

OURS = ROOT / "docker-compose.yml"
PROJECT = ROOT / "service" / "penstock" / "project" / "docker-compose.yml"
FILES = {"ours": OURS, "of-a-project": PROJECT}
PROMETHEUS = ROOT / "deploy" / "prometheus"
GRAFANA = ROOT / "deploy" / "grafana"
ENV = ROOT / "deploy" / "ollama.env"
ENDS = {"topics", "weights"}
"""Services that do one thing; who needs it waits until they have."""
LAST_WORDS_MS = 15_000
"""After the drain, as in Kubernetes."""

each_file = pytest.mark.parametrize("file", FILES.values(), ids=FILES)


def services(file: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load(file.read_text())["services"]
    return found


def of_penstock(file: Path) -> list[dict[str, Any]]:
    return [one for one in services(file).values() if one["image"] == "penstock"]


@each_file
def test_it_is_as_the_compose_specification_says(file: Path) -> None:
    checker = Path(sys.executable).with_name("check-jsonschema")
    words = [str(checker), "--builtin-schema", "vendor.compose-spec", str(file)]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@each_file
def test_docker_compose_would_read_it(file: Path) -> None:
    words = [str(tool("compose-go")), str(file)]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_plain_up_is_all_but_a_model_and_that_is_one_file_away() -> None:
    more = {name: one["profiles"] for name, one in services(OURS).items() if "profiles" in one}
    assert more == {"ollama": ["ollama"], "weights": ["ollama"]}
    settings = dict(line.split("=") for line in ENV.read_text().splitlines() if line[0] != "#")
    assert settings.pop("COMPOSE_PROFILES") == "ollama"
    assert settings.keys() <= services(OURS)["penstock"]["environment"].keys()


@each_file
def test_every_image_has_a_full_version(file: Path) -> None:
    foreign = {one["image"] for one in services(file).values()} - {"penstock"}
    assert all(re.search(r":v?\d+\.\d+\.\d+$", image) for image in foreign), foreign


@each_file
def test_all_that_goes_on_says_how_it_is(file: Path) -> None:
    for name, one in services(file).items():
        assert ("healthcheck" in one) != (name in ENDS), name
    # Without a shell, of which our image may have none.
    assert all(one["healthcheck"]["test"][:2] == ["CMD", "python3"] for one in of_penstock(file))


@each_file
def test_nothing_is_reached_from_another_machine(file: Path) -> None:
    published = [port for one in services(file).values() for port in one.get("ports", ())]
    assert published
    assert all(str(port).startswith("127.0.0.1:") for port in published), published


@each_file
def test_ours_may_do_nothing_but_their_work(file: Path) -> None:
    assert of_penstock(file)
    for one in of_penstock(file):
        assert one["read_only"]
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        assert "privileged" not in one
        assert "tmpfs" not in one


@each_file
def test_ours_may_drain_and_are_let_be_when_a_person_is_needed(file: Path) -> None:
    for one in of_penstock(file):
        seconds = int(one["stop_grace_period"].removesuffix("s"))
        assert seconds * 1000 >= Settings().drain_ms + LAST_WORDS_MS
        assert one["restart"].startswith("on-failure:")


def test_its_topics_are_as_the_program_would_create_them() -> None:
    [script] = services(OURS)["topics"]["command"]
    created = {
        topic: (int(partitions), dict(re.findall(r"--config (\S+)=(\S+)", rest)))
        for topic, partitions, rest in re.findall(r"^create (\S+) (\d+)(.*)$", script, re.MULTILINE)
    }
    nothing = Sight(Cluster((0,), None, {}, {}), {}, None, None)
    assert created.keys() == {WANTED.name(role) for role in SERVICE}
    for role in SERVICE:
        planned = config(role, 1, OF_KAFKA, WANTED.longest_ms)
        count, said = created[WANTED.name(role)]
        assert count == partitions(role, nothing, WANTED)
        assert OF_KAFKA | said == OF_KAFKA | planned, role


def test_what_is_mounted_is_there() -> None:
    mounts = [mount for one in services(OURS).values() for mount in one.get("volumes", ())]
    folders = [mount.partition(":")[0] for mount in mounts if mount.startswith("./")]
    assert folders
    assert all((ROOT / folder).is_dir() for folder in folders), folders


def test_prometheus_understands_its_file() -> None:
    words = [str(tool("promtool")), "check", "config", str(PROMETHEUS / "prometheus.yml")]
    run = subprocess.run(words, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def test_prometheus_asks_services_that_are_there() -> None:
    jobs = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
    asked = {name for job in jobs for one in job.get("dns_sd_configs", ()) for name in one["names"]}
    assert asked == {"penstock", "gateway"}
    assert asked <= {*services(OURS)}


def test_grafana_finds_prometheus_and_the_dashboards() -> None:
    provisioning = GRAFANA / "provisioning"
    [source] = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())[
        "datasources"
    ]
    [provider] = yaml.safe_load((provisioning / "dashboards" / "penstock.yaml").read_text())[
        "providers"
    ]
    grafana = services(OURS)["grafana"]
    home = Path(grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert source["url"] == "http://prometheus:9090"
    assert f"./deploy/grafana:{provider['options']['path']}:ro" in grafana["volumes"]
    assert home.parent == Path(provider["options"]["path"])
    assert (GRAFANA / home.name).is_file()
