"""What has to be true of all that is deployed together? One function for each answer.

The API takes much that does not work, or not safely: a port by a name that no container has, a
budget that selects nothing, a pod that is killed before its drain ends.
"""

from collections.abc import Callable, Iterator, Mapping

from penstock.settings import Settings
from penstock.settings.reading import Resolution, _resolve
from penstock.settings.secrets import is_secret
from penstock.settings.sources import variables
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


def _restricted(deployed: list[Object]) -> Iterator[str]:
    """PodSecurity "restricted", and what an image without a shell can do beyond that."""
    for deployment in of_kind(deployed, "Deployment"):
        spec = pod(deployment)
        mine = spec.get("securityContext", {})
        if not mine.get("runAsNonRoot") or mine.get("runAsUser") != USER:
            yield f"{name(deployment)} does not run as {USER}"
        if mine.get("seccompProfile") != {"type": "RuntimeDefault"}:
            yield f"{name(deployment)} has no seccomp profile"
        if spec.get("automountServiceAccountToken") is not False:
            yield f"{name(deployment)} has a token of Kubernetes"
        if spec.get("enableServiceLinks") is not False:
            yield f"{name(deployment)} is told of Services by variables"
        for container in spec["containers"]:
            its = container.get("securityContext", {})
            if its.get("allowPrivilegeEscalation") is not False:
                yield f"{name(deployment)} may escalate its privileges"
            if its.get("capabilities") != {"drop": ["ALL"]}:
                yield f"{name(deployment)} keeps capabilities"
            if its.get("readOnlyRootFilesystem") is not True:
                yield f"{name(deployment)} may write to its image"
        for volume in spec.get("volumes", []):
            if not {"emptyDir", "configMap", "secret"} & volume.keys():
                yield f"{name(deployment)} mounts {volume}"
            if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
                yield f"{name(deployment)} may fill its node by {volume['name']}"
    for account in of_kind(deployed, "ServiceAccount"):
        if account.get("automountServiceAccountToken") is not False:
            yield f"{name(account)} gives out tokens"


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
        for mistake in _resolved(told(deployed, deployment)).wrong:
            yield f"{name(deployment)}: {mistake}"


def _drains(deployed: list[Object]) -> Iterator[str]:
    """Time for the drain, and for what comes before and after it."""
    margin = 10.0
    for deployment in of_kind(deployed, "Deployment"):
        spec = pod(deployment)
        settings = _settings(deployed, deployment)
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
        selector = deployment["spec"]["selector"]["matchLabels"]
        if not _selects(selector, deployment):
            yield f"{name(deployment)} does not select its own pods"
        for spread in pod(deployment).get("topologySpreadConstraints", []):
            if spread["labelSelector"]["matchLabels"] != selector:
                yield f"{name(deployment)} spreads others' pods"


def _selected(deployed: list[Object]) -> Iterator[str]:
    """What selects pods selects those of one Deployment; each has its budget and its policy."""
    deployments = of_kind(deployed, "Deployment")
    for one in of_kind(deployed, "PodDisruptionBudget", "NetworkPolicy", "Service"):
        if len([d for d in deployments if _selects(_selector(one), d)]) != 1:
            yield f"{name(one)} does not select the pods of one Deployment"
    for kind in ("PodDisruptionBudget", "NetworkPolicy"):
        for deployment in deployments:
            ours = [o for o in of_kind(deployed, kind) if _selects(_selector(o), deployment)]
            if len(ours) != 1:
                yield f"{name(deployment)} has {len(ours)} of the kind {kind}"
    for monitor in of_kind(deployed, "PodMonitor"):
        if not all(_selects(_selector(monitor), deployment) for deployment in deployments):
            yield f"{name(monitor)} does not see all pods"


def _reaches(deployed: list[Object]) -> Iterator[str]:
    """Ports that are named are there."""
    for deployment in of_kind(deployed, "Deployment"):
        (container,) = pod(deployment)["containers"]
        there = _ports(container)
        wanted = {
            (name(one), port)
            for one in deployed
            if "selector" in one.get("spec", {}) or "podSelector" in one.get("spec", {})
            if one["kind"] != "Deployment" and _selects(_selector(one), deployment)
            for port in _named_ports(one)
        }
        for who, port in sorted(wanted):
            if port not in there:
                yield f"{who} means port {port}, which {name(deployment)} has not"
        settings = _settings(deployed, deployment)
        if deployment["metadata"]["labels"]["app.kubernetes.io/component"] == "service":
            listening = {"telemetry": settings.telemetry.port}
        else:
            listening = {
                "telemetry": settings.gateway.telemetry_port,
                "http": settings.gateway.port,
            }
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


def _scaled(deployed: list[Object]) -> Iterator[str]:
    """Never above the partitions, and by one alone."""
    scalers = of_kind(deployed, "ScaledObject")
    topics = of_kind(deployed, "KafkaTopic")
    for deployment in of_kind(deployed, "Deployment"):
        if deployment["metadata"]["labels"]["app.kubernetes.io/component"] != "service":
            continue
        partitions = _settings(deployed, deployment).topics.partitions
        for topic in topics:
            if topic["metadata"]["name"].endswith(".questions"):
                if topic["spec"]["partitions"] != partitions:
                    yield f"{name(topic)} does not have the {partitions} partitions of the settings"
        for scaler in scalers:
            if scaler["spec"]["maxReplicaCount"] != partitions:
                yield f"{name(scaler)} does not end at the {partitions} partitions"
            if scaler["spec"]["scaleTargetRef"]["name"] != deployment["metadata"]["name"]:
                yield f"{name(scaler)} scales nothing"
        if scalers and "replicas" in deployment["spec"]:
            yield f"{name(deployment)} says how many replicas there are, and so does KEDA"
        if not scalers and not 1 <= deployment["spec"].get("replicas", 0) <= partitions:
            yield f"{name(deployment)} has not between 1 and {partitions} replicas"


RULES: tuple[Rule, ...] = (
    _restricted,
    _understood,
    _probed,
    _drains,
    _bounded,
    _tells_no_secrets,
    _labelled,
    _selected,
    _reaches,
    _mounted,
    _scaled,
)


def _resolved(variables: Mapping[str, str]) -> Resolution:
    """By the program itself, of these variables alone."""
    return _resolve({}, dict, variables)


def _settings(deployed: list[Object], deployment: Object) -> Settings:
    settings = _resolved(told(deployed, deployment)).settings
    # What is wrong with them has a rule of its own.
    return Settings() if settings is None else settings


def _selector(one: Object) -> Mapping[str, str]:
    spec = one["spec"]
    selector: Mapping[str, Any] = spec.get("selector") or spec.get("podSelector") or {}
    return selector.get("matchLabels", selector)


def _selects(selector: Mapping[str, str], deployment: Object) -> bool:
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    return bool(selector) and selector.items() <= labels.items()


def _ports(container: Object) -> dict[str, int]:
    return {port["name"]: port["containerPort"] for port in container["ports"]}


def _named_ports(one: Object) -> Iterator[str]:
    spec = one["spec"]
    if one["kind"] == "Service":
        yield from (port["targetPort"] for port in spec["ports"])
    elif one["kind"] == "NetworkPolicy":
        yield from (port["port"] for rule in spec["ingress"] for port in rule["ports"])
    elif one["kind"] == "PodMonitor":
        yield from (endpoint["port"] for endpoint in spec["podMetricsEndpoints"])
