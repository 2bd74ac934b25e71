"""The Helm chart: what it renders of values, and which values it refuses."""

import json
import re
import shlex
from pathlib import Path

import pytest

from tests.deploy.deployed import of_kind, pod, resolved, told
from tests.deploy.invariants import wrong
from tests.deploy.manifests import CHART, files, helm, template
from tests.deploy.validation import NEWEST, OLDEST, Object, objects, validate

VALUES = Path(__file__).parent / "values"
README = Path("README.md")


def rendered(values: str) -> list[Object]:
    return objects(template("--values", str(VALUES / f"{values}.yaml")))


def named(deployed: list[Object], kind: str, name: str = "penstock") -> Object:
    return next(one for one in of_kind(deployed, kind) if one["metadata"]["name"] == name)


def test_helm_has_nothing_to_say_against_it() -> None:
    run = helm("lint", "--strict", str(CHART))
    assert run.returncode == 0, run.stdout + run.stderr
    assert "WARNING" not in run.stdout


@pytest.mark.parametrize("values", sorted(path.stem for path in VALUES.glob("*.yaml")))
def test_what_it_renders_is_taken_and_right(values: str) -> None:
    deployed = rendered(values)
    for one in deployed:
        validate(one)
    assert wrong(deployed) == []


def test_the_committed_manifests_are_what_it_renders() -> None:
    for path, content in files().items():
        assert path.read_text() == content, f"{path}: run `make manifests`"


def test_the_oldest_kubernetes_is_the_one_that_is_validated_against() -> None:
    for version, taken in ((OLDEST, True), ("1.29", False), (NEWEST, True)):
        run = helm("template", "penstock", str(CHART), "--kube-version", f"{version}.0")
        assert (run.returncode == 0) is taken, run.stderr


def test_settings_arrive_as_they_were_said() -> None:
    """Numbers, names in capitals and with a hyphen, tables in tables."""
    deployed = rendered("all")
    settings = resolved(told(deployed, named(deployed, "Deployment"))).settings
    assert settings is not None
    assert settings.programs["Letter-2"].entry == "desk:Program"
    assert settings.programs["Letter-2"].timeout_ms == 1_200_000
    assert settings.models["large"].rpm == 100
    assert settings.model is not None
    assert settings.model.options == {"temperature": 0.5, "max_tokens": 1_000_000}
    assert type(settings.model.options["max_tokens"]) is int
    assert settings.kafka.client["ssl.ca.location"] == "/etc/kafka/ca/ca.crt"
    assert settings.headers.forward == ("ce_correlationid", "x-tenant")
    assert settings.deadline.partial
    assert not settings.topics.create


def test_alerts_link_to_where_the_runbook_is_kept() -> None:
    [rule] = of_kind(rendered("all"), "PrometheusRule")
    links = {
        one["annotations"]["runbook_url"].partition("#")[0]
        for group in rule["spec"]["groups"]
        for one in group["rules"]
        if "alert" in one
    }
    assert links == {"https://git.example.com/penstock/blob/main/docs/runbook.md"}


def test_the_grace_follows_the_drain() -> None:
    deployed = rendered("all")
    grace = {
        name: pod(named(deployed, "Deployment", name))["terminationGracePeriodSeconds"]
        for name in ("penstock", "penstock-gateway")
    }
    assert grace == {"penstock": 61 + 15, "penstock-gateway": 5 + 61 + 10}


def test_a_change_of_settings_or_programs_rolls_and_nothing_else_does() -> None:
    def checksums(*flags: str) -> list[str]:
        return [
            one["spec"]["template"]["metadata"]["annotations"]["checksum/settings"]
            for one in of_kind(objects(template(*flags)), "Deployment")
        ]

    before = checksums()
    service, gateway = checksums("--set-literal=programs.desk=x = 1")
    assert service != before[0]
    assert gateway == before[1], "it runs no programs"
    assert not set(checksums("--set=settings.pool.slots=8")) & set(before)
    assert checksums("--set=replicas=3") == before


def test_programs_are_files_of_the_service_alone() -> None:
    deployed = rendered("all")
    assert named(deployed, "ConfigMap", "penstock-programs")["data"].keys() == {"desk.py"}
    mounts = {
        one["metadata"]["name"]: [m["mountPath"] for m in pod(one)["containers"][0]["volumeMounts"]]
        for one in of_kind(deployed, "Deployment")
    }
    assert mounts == {
        "penstock": ["/tmp", "/app", "/etc/kafka/ca"],
        "penstock-gateway": ["/tmp", "/etc/kafka/ca"],
    }


def test_secrets_are_mounted_whatever_they_are_called_and_wherever() -> None:
    """A volume's name has 63 characters at most, and no dots."""
    said = {"/etc/a": f"a.very{'-long' * 20}", "/etc/b": "x", "/etc/c": "x"}
    deployed = objects(template(f"--set-json=secretFiles={json.dumps(said)}"))
    assert wrong(deployed) == []
    spec = pod(named(deployed, "Deployment"))
    for one in deployed:
        validate(one)
    names = {v["name"]: v["secret"]["secretName"] for v in spec["volumes"] if "secret" in v}
    assert all(re.fullmatch(r"[-a-z0-9]{1,63}", name) for name in names)
    mounts = spec["containers"][0]["volumeMounts"]
    assert {m["mountPath"]: names[m["name"]] for m in mounts if m["name"] in names} == said


def test_an_image_may_be_named_by_its_digest() -> None:
    digest = f"sha256:{'0' * 64}"
    for deployment in of_kind(objects(template(f"--set=image.tag={digest}")), "Deployment"):
        assert pod(deployment)["containers"][0]["image"] == f"penstock@{digest}"


def test_what_the_readme_says_installs(tmp_path: Path) -> None:
    (said,) = re.findall(r"^helm install (.*\\\n.*\\\n.*)$", README.read_text(), re.MULTILINE)
    arguments = shlex.split(said.replace("\\\n", " "))
    (tmp_path / "desk.py").write_text("Program = 'question -> answer'")
    run = helm("template", *_here(arguments, tmp_path), f"--kube-version={NEWEST}.0")
    assert run.returncode == 0, run.stderr
    deployed = objects(run.stdout)
    assert wrong(deployed) == []
    service = named(deployed, "Deployment")
    assert pod(service)["containers"][0]["image"].startswith("registry.example.com/penstock:")
    settings = resolved(told(deployed, service)).settings
    assert settings is not None
    assert settings.programs["desk"].entry == "desk:Program"


def _here(arguments: list[str], folder: Path) -> list[str]:
    """With the program's file in this folder."""
    return [one.replace("=desk.py", f"={folder / 'desk.py'}") for one in arguments]


def test_each_has_its_own_secrets() -> None:
    deployed = rendered("all")
    secrets = {
        one["metadata"]["name"]: [
            source["secretRef"]["name"]
            for source in pod(one)["containers"][0]["envFrom"]
            if "secretRef" in source
        ]
        + [
            variable["valueFrom"]["secretKeyRef"]["name"]
            for variable in pod(one)["containers"][0]["env"]
            if "valueFrom" in variable
        ]
        for one in of_kind(deployed, "Deployment")
    }
    assert secrets == {
        "penstock": ["penstock-model", "others", "answers"],
        "penstock-gateway": ["others", "gateway"],
    }


def test_only_a_gateway_with_an_issuer_reaches_https() -> None:
    ports = {
        values: [
            port["port"]
            for port in named(rendered(values), "NetworkPolicy", "penstock-gateway")["spec"][
                "egress"
            ][1]["ports"]
        ]
        for values in ("defaults", "all")
    }
    assert ports == {"defaults": [9092, 9093, 9094], "all": [9093, 443]}


def test_what_the_settings_name_may_be_reached() -> None:
    """Where not, nothing says so: connections time out."""
    said = (
        "settings.kafka.bootstrap_servers=a:9096\\,b",
        "settings.model.api_base=http://vllm.models.svc:8000/v1",
        "settings.models.large.name=openai/llama",
        "settings.models.large.api_base=http://vllm.models.svc/v1",
        "gateway.env.OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4318",
        "settings.gateway.jwt.jwks_url=https://id.example.com:8443/keys",
        "settings.gateway.jwt.issuer=https://id.example.com",
        "settings.gateway.jwt.audience=answers",
        "networkPolicy.kafkaPorts=null",
    )
    deployed = objects(template(*(f"--set={one}" for one in said)))
    ports = {
        one["metadata"]["name"]: [port["port"] for port in one["spec"]["egress"][1]["ports"]]
        for one in of_kind(deployed, "NetworkPolicy")
    }
    assert ports == {
        "penstock": [443, 9096, 9092, 8000, 80],
        "penstock-gateway": [9096, 9092, 8443, 4318],
    }


def test_a_release_is_called_as_its_service_may_be() -> None:
    """Else Kubernetes refuses that one when half of the others are there."""
    run = helm("template", "my.answers", str(CHART), "--kube-version", f"{NEWEST}.0")
    assert run.returncode != 0
    assert "release my.answers: a Service" in run.stderr


REFUSED = {
    "replicas=7": "replicas: 7, and the questions topic has 6 partitions",
    "replicas=0": "at '/replicas': minimum: got 0, want 1",
    "replica=3": "additional properties 'replica' not allowed",
    "settings.pool.slotz=3": "at '/settings/pool': additional properties 'slotz' not allowed",
    "settings.pool.slots=0": "at '/settings/pool/slots'",
    "settings.topics.partitions=null": "at '/settings/topics': missing property 'partitions'",
    "settings.kafka=null": "at '/settings': missing property 'kafka'",
    "settings.model.api_key=sk-12345678": "put it into a Secret",
    "settings.models.big.api_key=sk-12345678": "the api_key of settings.models.big",
    "settings.model.options.aws_secret_key=sk-12345678": '"aws_secret_key" is a secret',
    "settings.models.big.options.extra_headers.Authorization=sk-12345678": (
        'settings.models.big.options.extra_headers: "Authorization" is a secret'
    ),
    "settings.model.api_base=https://ana:12345678@proxy/v1": "an address with a password",
    "gateway.env.HTTPS_PROXY=http://ana:12345678@proxy": "gateway.env: there is an address",
    r"settings.kafka.client.sasl\.password=x12345678": '"sasl.password" is a secret',
    "settings.kafka.group_instance_id=a": "all replicas would have the same one",
    "settings.gate.action=exit": "Kubernetes starts again what exits",
    "env.OPENAI_API_KEY=sk-12345678": "env: OPENAI_API_KEY is a secret by its name",
    "env.PENSTOCK_LOG_LEVEL=debug": "env: PENSTOCK_LOG_LEVEL is a setting",
    "gateway.tokensSecret=": "the gateway lets nobody in",
    "gateway.ingress.enabled=true": "it needs gateway.ingress.host",
    "keda.enabled=true": "set monitoring.podMonitor",
    "keda.enabled=true,monitoring.podMonitor=true,keda.minReplicas=9": "keda.minReplicas: 9",
    "keda.kafka.metadata.topic=others": "additional properties 'topic' not allowed",
    "secretKeys.TOKEN.secret=a": "at '/secretKeys/TOKEN': missing property 'key'",
}


@pytest.mark.parametrize("values", REFUSED)
def test_values_that_will_not_do_are_refused_and_it_says_which(values: str) -> None:
    run = helm("template", "penstock", str(CHART), "--kube-version", f"{NEWEST}.0", "--set", values)
    assert run.returncode != 0
    assert REFUSED[values] in run.stderr
    assert "12345678" not in run.stderr
