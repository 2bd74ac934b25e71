"""The manifests under `deploy/kubernetes` that the Helm chart renders: `make manifests`."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from tests.deploy.tools import build, tool

CHART = Path("deploy/helm/penstock")
KUBERNETES = Path("deploy/kubernetes")
RULES = Path("deploy/prometheus/rules.yaml")
RULES_OF_CHART = CHART / "files" / "rules.yaml"

RELEASE = "penstock"
"""Name and namespace: the query by which KEDA scales names both."""

KUBERNETES_VERSION = "1.34.0"
"""For which is rendered; one that `go install` builds says v1.20."""

SETTINGS = "settings.yaml"
"""The template that is no manifest there: Kustomize makes a ConfigMap of its own, and names it
after what is in it, so that a change rolls.
"""

COMPONENTS = {
    "keda.yaml": "components/keda",
    "podmonitor.yaml": "components/monitoring",
    "prometheusrule.yaml": "components/monitoring",
}
"""Where templates go that not every cluster takes; the others are the base."""


_AS = ("--namespace", RELEASE, "--kube-version", KUBERNETES_VERSION)


def files() -> dict[Path, str]:
    """Path to content."""
    return dict(_files())


def template(*flags: str) -> str:
    """What the chart renders, with these flags of `helm template`."""
    run = helm("template", RELEASE, str(CHART), *_AS, *flags)
    if run.returncode:
        raise AssertionError(run.stderr)
    return run.stdout


def helm(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([tool("helm"), *arguments], capture_output=True, text=True, check=False)


def _files() -> Iterator[tuple[Path, str]]:
    yield RULES_OF_CHART, RULES.read_text()
    for name, text in _by_template(template()):
        if name == SETTINGS:
            yield KUBERNETES / "base" / "settings.env", _variables(text)
        else:
            yield KUBERNETES / "base" / name.replace("/", "-"), _without_checksum(text)
    extras = ("keda.enabled", "monitoring.podMonitor", "monitoring.rules")
    for name, text in _by_template(template(*(f"--set={extra}=true" for extra in extras))):
        if name in COMPONENTS:
            yield KUBERNETES / COMPONENTS[name] / name, text


def _by_template(rendered: str) -> Iterator[tuple[str, str]]:
    """Template to what it renders, without what Helm says of it."""
    for part in rendered.split("---\n# Source: ")[1:]:
        source, _, text = part.partition("\n")
        yield source.removeprefix("penstock/templates/"), f"{text.strip()}\n"


def _variables(config_map: str) -> str:
    data = yaml.safe_load(config_map)["data"]
    return "".join(f"{name}={value}\n" for name, value in data.items())


def _without_checksum(text: str) -> str:
    return re.sub(r" +annotations:\n +checksum/settings: .*\n", "", text)


def main() -> None:
    if missing := build("helm"):
        sys.exit(f"helm is not there: {missing['helm']}")
    # The chart renders its copy of the rules.
    RULES_OF_CHART.parent.mkdir(exist_ok=True)
    RULES_OF_CHART.write_text(RULES.read_text())
    for path, text in files().items():
        path.write_text(text)
        print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
