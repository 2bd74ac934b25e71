"""What does a set of objects say: who selects whom, which ports are there, and what is a container
told?
"""

from collections.abc import Iterator, Mapping

from penstock.settings import Settings
from penstock.settings.reading import Resolution, _resolve
from tests.deploy.validation import Object


def of_kind(deployed: list[Object], *kinds: str) -> list[Object]:
    return [one for one in deployed if one["kind"] in kinds]


def name(one: Object) -> str:
    return f"{one['kind']} {one['metadata']['name']}"


def pod(one: Object) -> Object:
    spec: Object = one["spec"]["template"]["spec"]
    return spec


def told(deployed: list[Object], deployment: Object) -> dict[str, str]:
    """The variables of a container, as far as no Secret holds them."""
    maps = {one["metadata"]["name"]: one["data"] for one in of_kind(deployed, "ConfigMap")}
    (container,) = pod(deployment)["containers"]
    found: dict[str, str] = {}
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            found |= maps[source["configMapRef"]["name"]]
    return found | {one["name"]: one["value"] for one in container.get("env", []) if "value" in one}


def resolved(variables: Mapping[str, str]) -> Resolution:
    """By the program itself, of these variables alone."""
    return _resolve({}, dict, variables)


def settings_of(deployed: list[Object], deployment: Object) -> Settings:
    settings = resolved(told(deployed, deployment)).settings
    # What is wrong with them has a rule of its own.
    return Settings() if settings is None else settings


def selector(one: Object) -> dict[str, str]:
    """Labels of pods that it means."""
    spec = one["spec"]
    said: Object = spec.get("selector") or spec.get("podSelector") or {}
    labels: dict[str, str] = said.get("matchLabels", said)
    return labels


def selects(wanted: Mapping[str, str], deployment: Object) -> bool:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    return bool(wanted) and wanted.items() <= labels.items()


def ports(container: Object) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def named_ports(one: Object) -> Iterator[str]:
    spec = one["spec"]
    if one["kind"] == "Service":
        yield from (port["targetPort"] for port in spec["ports"])
    elif one["kind"] == "NetworkPolicy":
        yield from (port["port"] for rule in spec["ingress"] for port in rule["ports"])
    elif one["kind"] == "PodMonitor":
        yield from (endpoint["port"] for endpoint in spec["podMetricsEndpoints"])
