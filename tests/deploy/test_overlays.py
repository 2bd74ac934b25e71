"""The Kustomize overlays: what each makes of the base."""

import subprocess
from functools import cache
from pathlib import Path

import pytest

from tests.deploy.deployed import of_kind, pod, resolved, told
from tests.deploy.invariants import wrong
from tests.deploy.manifests import KUBERNETES
from tests.deploy.tools import tool
from tests.deploy.validation import Object, objects, validate

OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())

ADDED = {
    "strimzi": {"KafkaTopic": 5, "KafkaUser": 2},
    "monitoring": {"PodMonitor": 1, "PrometheusRule": 1},
    "keda": {"PodMonitor": 1, "PrometheusRule": 1, "ScaledObject": 1},
    "all": {
        "KafkaTopic": 5,
        "KafkaUser": 2,
        "PodMonitor": 1,
        "PrometheusRule": 1,
        "ScaledObject": 1,
        "TriggerAuthentication": 1,
    },
}


def built(folder: Path) -> list[Object]:
    run = subprocess.run(
        [tool("kustomize"), "build", folder], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return objects(run.stdout)


@cache
def overlay(name: str) -> list[Object]:
    return built(KUBERNETES / "overlays" / name)


@pytest.mark.parametrize("name", OVERLAYS)
def test_it_builds_and_what_comes_out_is_taken_and_right(name: str) -> None:
    deployed = overlay(name)
    for one in deployed:
        validate(one)
    assert wrong(deployed) == []
    kinds = [one["kind"] for one in deployed]
    assert {kind: kinds.count(kind) for kind in ADDED[name]} == ADDED[name]
    assert len(deployed) == len(built(KUBERNETES / "base")) + sum(ADDED[name].values())


@pytest.mark.parametrize("name", ["strimzi", "all"])
def test_with_strimzi_both_connect_with_the_certificates_that_are_mounted(name: str) -> None:
    deployed = overlay(name)
    users = {one["metadata"]["name"] for one in of_kind(deployed, "KafkaUser")}
    for deployment in of_kind(deployed, "Deployment"):
        settings = resolved(told(deployed, deployment)).settings
        assert settings is not None
        assert not settings.topics.create
        client = settings.kafka.client
        assert client["security.protocol"] == "SSL"
        (container,) = pod(deployment)["containers"]
        folders = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        secrets = {v["name"]: v["secret"] for v in pod(deployment)["volumes"] if "secret" in v}
        where = {
            what: secrets[folders[str(Path(client[f"ssl.{what}.location"]).parent)]]
            for what in ("ca", "certificate", "key")
        }
        assert where["ca"]["secretName"] == "my-cluster-cluster-ca-cert"
        # Strimzi's Secret of a user has the user's name.
        assert where["certificate"] == where["key"]
        assert where["key"]["secretName"] == deployment["metadata"]["name"]
        assert where["key"]["secretName"] in users
        assert Path(client["ssl.certificate.location"]).name == "user.crt"
        assert Path(client["ssl.key.location"]).name == "user.key"


def test_keda_looks_at_the_kafka_of_the_service_with_its_certificate() -> None:
    deployed = overlay("all")
    (scaler,) = of_kind(deployed, "ScaledObject")
    (authentication,) = of_kind(deployed, "TriggerAuthentication")
    kafka = scaler["spec"]["triggers"][0]
    service = next(
        one for one in of_kind(deployed, "Deployment") if one["metadata"]["name"] == "penstock"
    )
    servers = told(deployed, service)["PENSTOCK_KAFKA__BOOTSTRAP_SERVERS"]
    host, port = servers.split(":")
    assert kafka["metadata"]["bootstrapServers"] == f"{host}.penstock.svc:{port}"
    assert kafka["metadata"]["tls"] == "enable"
    assert kafka["authenticationRef"]["name"] == authentication["metadata"]["name"]
    parameters = {
        one["parameter"]: one["name"] for one in authentication["spec"]["secretTargetRef"]
    }
    assert parameters == {
        "ca": "my-cluster-cluster-ca-cert",
        "cert": "penstock",
        "key": "penstock",
    }


def test_what_is_set_anew_rolls(tmp_path: Path) -> None:
    """By the ConfigMap's name, which the Deployments have."""
    kubernetes = KUBERNETES.resolve()
    (tmp_path / "kustomization.yaml").write_text(
        f"resources: [{_from(tmp_path, kubernetes / 'base')}]\n"
        "configMapGenerator:\n"
        "  - {name: penstock, behavior: merge, literals: [PENSTOCK_POOL__SLOTS=128]}\n"
        "images: [{name: penstock, newName: registry.example.com/answers, newTag: '7'}]\n"
    )
    before, after = built(KUBERNETES / "base"), built(tmp_path)
    assert wrong(after) == []
    names = [of_kind(one, "ConfigMap")[0]["metadata"]["name"] for one in (before, after)]
    assert names[0] != names[1]
    for deployment in of_kind(after, "Deployment"):
        (container,) = pod(deployment)["containers"]
        assert container["envFrom"][0]["configMapRef"]["name"] == names[1]
        assert container["image"] == "registry.example.com/answers:7"
        assert told(after, deployment)["PENSTOCK_POOL__SLOTS"] == "128"


def _from(here: Path, there: Path) -> str:
    """Kustomize wants it relative."""
    return "../" * len(here.resolve().parts[1:]) + str(there)[1:]
