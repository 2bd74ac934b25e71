"""What has to be true of all that is deployed together? A function for each answer.

The API takes much that does not work, or not safely: a port by a name that no container has, a
budget that selects nothing, a pod that is killed before its drain ends.
"""

from collections.abc import Callable, Iterator

from penstock.settings.secrets import is_secret
from penstock.settings.sources import variables
from tests.deploy.deployed import (
    name,
    named_ports,
    of_kind,
    pod,
    ports,
    resolved,
    selector,
    selects,
    settings_of,
    told,
)
from tests.deploy.validation import Object

Rule = Callable[[list[Object]], Iterator[str]]

USER = 65532
"""That of the image."""

PROBES = {"startupProbe": "/startupz", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
"""All on the port of /metrics."""

COMMON = ("app.kubernetes.io/name", "app.kubernetes.io/instance")


def wrong(deployed: list[Object]) -> list[str]:
    """What is broken, by whom."""
    return [said for rule in RULES for said in rule(deployed)]


OF_POD = {
    "automountServiceAccountToken": False,
    # Else a variable for each Service.
    "enableServiceLinks": False,
    "securityContext": {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    },
}
OF_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}


def _restricted(deployed: list[Object]) -> Iterator[str]:
    """PodSecurity "restricted", and what an image without a shell can do beyond that."""
    for deployment in of_kind(deployed, "Deployment"):
        spec = pod(deployment)
        for field, wanted in OF_POD.items():
            if spec.get(field) != wanted:
                yield f"{name(deployment)} has not {field}: {wanted}"
        for container in spec["containers"]:
            if container.get("securityContext") != OF_CONTAINER:
                yield f"{name(deployment)} has a container without {OF_CONTAINER}"
    for account in of_kind(deployed, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{name(account)} gives out tokens"


def _touches_no_node(deployed: list[Object]) -> Iterator[str]:
    for deployment in of_kind(deployed, "Deployment"):
        for volume in pod(deployment)["volumes"]:
            if not {"emptyDir", "configMap", "secret"} & volume.keys():
                yield f"{name(deployment)} mounts {volume}"
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name(deployment)} may fill its node by {volume['name']}"


def _probed(deployed: list[Object]) -> Iterator[str]:
    for deployment in of_kind(deployed, "Deployment"):
        for container in pod(deployment)["containers"]:
            for probe, path in PROBES.items():
                http = container.get(probe, {}).get("httpGet")
                if http != {"path": path, "port": "telemetry"}:
                    yield f"{name(deployment)} has no {probe}"


def _understood(deployed: list[Object]) -> Iterator[str]:
    """By the program: a setting that is none, or no good, ends it before it begins."""
    for deployment in of_kind(deployed, "Deployment"):
        for mistake in resolved(told(deployed, deployment)).wrong:
            yield f"{name(deployment)}: {mistake}"


def _drains(deployed: list[Object]) -> Iterator[str]:
    """Time for the drain, and for what comes before and after it."""
    margin = 10.0
    for deployment in of_kind(deployed, "Deployment"):
        spec = pod(deployment)
        settings = settings_of(deployed, deployment)
        (container,) = spec["containers"]
        before = (
            container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        )
        needed = before + settings.drain_ms / 1000 + margin
        if spec.get("terminationGracePeriodSeconds", 30) < needed:
            yield f"{name(deployment)} is killed before {needed:g} s, which its drain takes"


def _bounded(deployed: list[Object]) -> Iterator[str]:
    for deployment in of_kind(deployed, "Deployment"):
        for container in pod(deployment)["containers"]:
            resources = container.get("resources", {})
            if not {"cpu", "memory"} <= resources.get("requests", {}).keys():
                yield f"{name(deployment)} asks for no processor or no memory"
            if "memory" not in resources.get("limits", {}):
                yield f"{name(deployment)} may take all the memory of its node"


def _tells_no_secrets(deployed: list[Object]) -> Iterator[str]:
    """Secrets are named, and never brought along."""
    for secret in of_kind(deployed, "Secret"):
        yield f"{name(secret)} stands in a manifest"
    for deployment in of_kind(deployed, "Deployment"):
        for one in variables(told(deployed, deployment)):
            if is_secret(one.path):
                yield f"{name(deployment)} is told {one.called}"
        for container in pod(deployment)["containers"]:
            for variable in container.get("env", []):
                secret = variable["name"].upper().endswith(("_KEY", "PASSWORD", "SECRET", "TOKEN"))
                if secret and "value" in variable:
                    yield f"{name(deployment)} is told {variable['name']}"


def _labelled(deployed: list[Object]) -> Iterator[str]:
    for one in deployed:
        if one["kind"] in {"KafkaTopic", "KafkaUser", "TriggerAuthentication"}:
            continue
        missing = [label for label in COMMON if label not in one["metadata"].get("labels", {})]
        if missing:
            yield f"{name(one)} has no {', '.join(missing)}"
    for deployment in of_kind(deployed, "Deployment"):
        if not selects(selector(deployment), deployment):
            yield f"{name(deployment)} does not select its own pods"
        for spread in pod(deployment).get("topologySpreadConstraints", []):
            if spread["labelSelector"]["matchLabels"] != selector(deployment):
                yield f"{name(deployment)} spreads others' pods"


def _selected(deployed: list[Object]) -> Iterator[str]:
    """What selects pods selects those of one Deployment; each has its budget and its policy."""
    deployments = of_kind(deployed, "Deployment")
    for one in of_kind(deployed, "PodDisruptionBudget", "NetworkPolicy", "Service"):
        if len([d for d in deployments if selects(selector(one), d)]) != 1:
            yield f"{name(one)} does not select the pods of one Deployment"
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for deployment in deployments:
            ours = [o for o in of_kind(deployed, kind) if selects(selector(o), deployment)]
            if len(ours) != 1:
                yield f"{name(deployment)} has {len(ours)} of the kind {kind}"
    for monitor in of_kind(deployed, "PodMonitor"):
        if not all(selects(selector(monitor), deployment) for deployment in deployments):
            yield f"{name(monitor)} does not see all pods"


def _reaches(deployed: list[Object]) -> Iterator[str]:
    """Ports that are named are there."""
    for deployment in of_kind(deployed, "Deployment"):
        (container,) = pod(deployment)["containers"]
        there = ports(container)
        wanted = {
            (name(one), port)
            for one in deployed
            if "selector" in one.get("spec", {}) or "podSelector" in one.get("spec", {})
            if one["kind"] != "Deployment" and selects(selector(one), deployment)
            for port in named_ports(one)
        }
        for who, port in sorted(wanted):
            if port not in there:
                yield f"{who} means port {port}, which {name(deployment)} has not"
        settings = settings_of(deployed, deployment)
        gateway = settings.gateway
        listening = (
            {"telemetry": settings.telemetry.port}
            if deployment in _services(deployed)
            else {"telemetry": gateway.telemetry_port, "http": gateway.port}
        )
        if there != listening:
            yield f"{name(deployment)} says it listens on {there}, and listens on {listening}"


def _mounted(deployed: list[Object]) -> Iterator[str]:
    """Volumes are there that are mounted, ConfigMaps that are read, and all are used."""
    maps = {one["metadata"]["name"] for one in of_kind(deployed, "ConfigMap")}
    read: set[str] = set()
    for deployment in of_kind(deployed, "Deployment"):
        spec = pod(deployment)
        (container,) = spec["containers"]
        volumes = {volume["name"] for volume in spec["volumes"]}
        mounts = {mount["name"] for mount in container["volumeMounts"]}
        if volumes != mounts or len(volumes) < len(spec["volumes"]):
            yield f"{name(deployment)} mounts {sorted(mounts)}, and has {sorted(volumes)}"
        read |= {
            source["configMapRef"]["name"]
            for source in container["envFrom"]
            if "configMapRef" in source
        }
        read |= {v["configMap"]["name"] for v in spec["volumes"] if "configMap" in v}
    if read != maps:
        yield f"ConfigMaps {sorted(maps)} are there, and {sorted(read)} are read"


def _partitioned(deployed: list[Object]) -> Iterator[str]:
    """Settings, topic and scaler mean the same partitions: never more replicas than these."""
    for deployment in _services(deployed):
        partitions = settings_of(deployed, deployment).topics.partitions
        for topic in of_kind(deployed, "KafkaTopic"):
            others = topic["spec"]["partitions"] != partitions
            if others and topic["metadata"]["name"].endswith(".questions"):
                yield f"{name(topic)} does not have the {partitions} partitions of the settings"
        for scaler in of_kind(deployed, "ScaledObject"):
            if scaler["spec"]["maxReplicaCount"] != partitions:
                yield f"{name(scaler)} does not end at the {partitions} partitions"
        if not 1 <= deployment["spec"].get("replicas", 1) <= partitions:
            yield f"{name(deployment)} has not between 1 and {partitions} replicas"


def _scaled(deployed: list[Object]) -> Iterator[str]:
    """By one alone."""
    scalers = of_kind(deployed, "ScaledObject")
    for deployment in _services(deployed):
        for scaler in scalers:
            if scaler["spec"]["scaleTargetRef"] != {"name": deployment["metadata"]["name"]}:
                yield f"{name(scaler)} scales nothing"
        if ("replicas" in deployment["spec"]) is bool(scalers):
            yield f"{name(deployment)} has its replicas by {'two' if scalers else 'none'}"


def _services(deployed: list[Object]) -> list[Object]:
    """Without the gateway."""
    component = "app.kubernetes.io/component"
    deployments = of_kind(deployed, "Deployment")
    return [one for one in deployments if one["metadata"]["labels"][component] == "service"]


RULES: tuple[Rule, ...] = (
    _restricted,
    _touches_no_node,
    _understood,
    _probed,
    _drains,
    _bounded,
    _tells_no_secrets,
    _labelled,
    _selected,
    _reaches,
    _mounted,
    _partitioned,
    _scaled,
)
