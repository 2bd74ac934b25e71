"""The manifests as they are committed: Kubernetes takes them, and nothing is wrong with them."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock import __version__
from tests.deploy.deployed import name, of_kind, pod
from tests.deploy.invariants import wrong
from tests.deploy.manifests import CHART, KUBERNETES, RULES, RULES_OF_CHART
from tests.deploy.validation import Object, objects, validate

KUSTOMIZATIONS = sorted(KUBERNETES.rglob("kustomization.yaml"))


def resources(kustomization: Path) -> list[Object]:
    """What stands in the files that it names, of its own folder."""
    said = yaml.safe_load(kustomization.read_text())
    paths = (kustomization.parent / name for name in said.get("resources", []))
    return [one for path in paths if path.is_file() for one in objects(path.read_text())]


def base() -> list[Object]:
    """With the ConfigMap that Kustomize makes, by the name that it begins with."""
    lines = (KUBERNETES / "base" / "settings.env").read_text().splitlines()
    kustomization = KUBERNETES / "base" / "kustomization.yaml"
    (generator,) = yaml.safe_load(kustomization.read_text())["configMapGenerator"]
    metadata = {"name": generator["name"], "labels": generator["options"]["labels"]}
    data = dict(line.split("=", 1) for line in lines)
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    return [*resources(kustomization), settings]


BASE = base()
WRITTEN = [one for path in KUSTOMIZATIONS for one in resources(path)]


@pytest.mark.parametrize("one", WRITTEN, ids=name)
def test_kubernetes_and_the_operators_take_it(one: Object) -> None:
    validate(one)


@pytest.mark.parametrize(
    "change",
    [
        lambda one: one["spec"].update(replica=2),
        lambda one: one["spec"].update(replicas="two"),
        lambda one: one["spec"]["template"]["spec"]["containers"][0].update(arg=["serve"]),
    ],
)
def test_they_do_not_take_what_they_do_not_know(change: Callable[[Object], None]) -> None:
    deployment = copy.deepcopy(of_kind(BASE, "Deployment")[0])
    change(deployment)
    with pytest.raises(Exception, match=r"replica|arg|two"):
        validate(deployment)


@pytest.mark.parametrize("kind", ["KafkaTopic", "KafkaUser", "ScaledObject", "PodMonitor"])
def test_nor_do_the_operators(kind: str) -> None:
    one = copy.deepcopy(of_kind(WRITTEN, kind)[0])
    one["spec"]["unknown"] = 1
    with pytest.raises(Exception, match="unknown"):
        validate(one)


def test_every_file_is_part_of_its_kustomization() -> None:
    for path in KUSTOMIZATIONS:
        said = yaml.safe_load(path.read_text())
        named = {file for file in said.get("resources", []) if file.endswith(".yaml")}
        named |= {patch["path"] for patch in said.get("patches", []) if "path" in patch}
        named |= {file for one in said.get("configMapGenerator", []) for file in one["envs"]}
        there = {file.name for file in path.parent.iterdir() if file.is_file()}
        assert there == {*named, "kustomization.yaml"}, path


def test_nothing_is_wrong_with_the_base() -> None:
    assert wrong(BASE) == []


def _deployment(deployed: list[Object]) -> Any:
    return of_kind(deployed, "Deployment")[0]


def _container(deployed: list[Object]) -> Any:
    return pod(_deployment(deployed))["containers"][0]


def _told(deployed: list[Object]) -> Any:
    return of_kind(deployed, "ConfigMap")[0]["data"]


def _rename(labels: dict[str, str]) -> None:
    labels["app.kubernetes.io/instance"] = "another"


BREAKS: dict[str, Callable[[list[Object]], Any]] = {
    "has not securityContext": lambda d: pod(_deployment(d))["securityContext"].pop("runAsUser"),
    "'runAsUser': 65532": lambda d: pod(_deployment(d))["securityContext"].pop("seccompProfile"),
    "has not automountServiceAccountToken": lambda d: pod(_deployment(d)).pop(
        "automountServiceAccountToken"
    ),
    "has not enableServiceLinks": lambda d: pod(_deployment(d)).pop("enableServiceLinks"),
    "a container without": lambda d: _container(d)["securityContext"]["capabilities"].clear(),
    "'readOnlyRootFilesystem': True": lambda d: _container(d)["securityContext"].pop(
        "readOnlyRootFilesystem"
    ),
    "mounts {'name': 'tmp', 'hostPath'": lambda d: pod(_deployment(d))["volumes"].__setitem__(
        0, {"name": "tmp", "hostPath": {"path": "/tmp"}}
    ),
    "may fill its node": lambda d: pod(_deployment(d))["volumes"][0]["emptyDir"].clear(),
    "gives out tokens": lambda d: of_kind(d, "ServiceAccount")[0].pop(
        "automountServiceAccountToken"
    ),
    "did you mean PENSTOCK_POOL__SLOTS": lambda d: _told(d).update(PENSTOCK_POOL__SLOT="3"),
    "has no startupProbe": lambda d: _container(d).pop("startupProbe"),
    "has no livenessProbe": lambda d: _container(d)["livenessProbe"]["httpGet"].update(path="/"),
    "has no readinessProbe": lambda d: _container(d)["readinessProbe"]["httpGet"].update(port=1),
    "killed before 35 s": lambda d: pod(_deployment(d)).pop("terminationGracePeriodSeconds"),
    "killed before 70 s": lambda d: _told(d).update(PENSTOCK_DRAIN_MS="60000"),
    "asks for no processor": lambda d: _container(d)["resources"]["requests"].pop("cpu"),
    "all the memory": lambda d: _container(d)["resources"]["limits"].pop("memory"),
    "Secret": lambda d: d.append({"kind": "Secret", "metadata": {"name": "key", "labels": {}}}),
    "told PENSTOCK_MODEL__API_KEY": lambda d: _told(d).update(PENSTOCK_MODEL__API_KEY="sk-12345"),
    "told OPENAI_API_KEY": lambda d: _container(d).update(
        env=[{"name": "OPENAI_API_KEY", "value": "sk-12345"}]
    ),
    "has no app.kubernetes.io/name": lambda d: d[0]["metadata"].pop("labels"),
    "does not select its own": lambda d: _rename(_deployment(d)["spec"]["selector"]["matchLabels"]),
    "spreads others' pods": lambda d: pod(_deployment(d))["topologySpreadConstraints"][0][
        "labelSelector"
    ]["matchLabels"].clear(),
    "PodDisruptionBudget penstock does not select": lambda d: _rename(
        of_kind(d, "PodDisruptionBudget")[0]["spec"]["selector"]["matchLabels"]
    ),
    "NetworkPolicy penstock does not select": lambda d: _rename(
        of_kind(d, "NetworkPolicy")[0]["spec"]["podSelector"]["matchLabels"]
    ),
    "Service penstock-gateway does not select": lambda d: _rename(
        of_kind(d, "Service")[0]["spec"]["selector"]
    ),
    "has 0 of the kind NetworkPolicy": lambda d: d.remove(of_kind(d, "NetworkPolicy")[0]),
    "has 2 of the kind PodDisruptionBudget": lambda d: d.append(
        of_kind(d, "PodDisruptionBudget")[0]
    ),
    "means port telemetry, which": lambda d: _container(d)["ports"][0].update(name="metrics"),
    "means port web, which": lambda d: of_kind(d, "Service")[0]["spec"]["ports"][0].update(
        targetPort="web"
    ),
    "and listens on {'telemetry': 9000}": lambda d: _told(d).update(
        PENSTOCK_TELEMETRY__PORT="9000"
    ),
    "Deployment penstock mounts": lambda d: _container(d)["volumeMounts"].clear(),
    "ConfigMaps ['penstock', 'spare'] are there": lambda d: d.append(
        {"kind": "ConfigMap", "metadata": {"name": "spare", "labels": {}}, "data": {}}
    ),
    "has its replicas by none": lambda d: _deployment(d)["spec"].pop("replicas"),
    "between 1 and 6 replicas": lambda d: _deployment(d)["spec"].update(replicas=7),
}


@pytest.mark.parametrize("said", BREAKS)
def test_what_is_broken_is_found(said: str) -> None:
    deployed = copy.deepcopy(BASE)
    BREAKS[said](deployed)
    assert any(said in mistake for mistake in wrong(deployed)), wrong(deployed)


def test_the_chart_is_of_this_release() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == __version__


def test_the_alerts_of_the_chart_are_those_of_prometheus() -> None:
    assert RULES_OF_CHART.read_text() == RULES.read_text(), "run `make manifests`"
    rule = KUBERNETES / "components" / "monitoring" / "prometheusrule.yaml"
    (rendered,) = objects(rule.read_text())
    assert rendered["spec"] == yaml.safe_load(RULES.read_text()), "run `make manifests`"
