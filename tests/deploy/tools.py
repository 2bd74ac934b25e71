"""The tools that check what is deployed: which, of what version, and where are they?

Those on PyPI come with the tests. The others are Go programs, built once by `make acceptance
deploy` into a cache; where one is not there, the tests that want it are skipped and say so.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest


class Tool(NamedTuple):
    """A Go program: its `package`, and the `version` of the module."""

    package: str
    version: str


TOOLS = {
    # By which `docker compose` reads its files.
    "compose-go": Tool("github.com/compose-spec/compose-go/v2/cmd", "v2.16.2"),
    "helm": Tool("helm.sh/helm/v3/cmd/helm", "v3.22.0"),
    "kustomize": Tool("sigs.k8s.io/kustomize/kustomize/v5", "v5.7.1"),
    "prometheus": Tool("github.com/prometheus/prometheus/cmd/prometheus", "v0.316.0"),
    "promtool": Tool("github.com/prometheus/prometheus/cmd/promtool", "v0.316.0"),
}


def folder() -> Path:
    """Where they are built to."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "penstock" / "tools"


def tool(name: str) -> Path:
    """The program; else the test is skipped."""
    path = _path(name)
    if not path.exists():
        pytest.skip(f"SKIPPED: {name} {TOOLS[name].version} is not built: make acceptance deploy")
    return path


def build(*names: str) -> dict[str, str]:
    """Those of these, or of all, that are not there yet; why one cannot be had, by its name."""
    missing = {}
    for name in names or TOOLS:
        wanted = TOOLS[name]
        if _path(name).exists():
            continue
        if shutil.which("go") is None:
            missing[name] = "there is no Go here (https://go.dev/dl)"
            continue
        print(f"building {name} {wanted.version}, minutes ...", file=sys.stderr, flush=True)
        if why := _built(name, wanted):
            missing[name] = why
    return missing


def _path(name: str) -> Path:
    return folder() / f"{name}-{TOOLS[name].version}"


def _built(name: str, wanted: Tool) -> str | None:
    """Why not; None: it is there."""
    to = folder() / "go"
    run = subprocess.run(
        ["go", "install", f"{wanted.package}@{wanted.version}"],
        env={**os.environ, "GOBIN": str(to), "GOFLAGS": "-mod=mod"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        return run.stderr.strip().splitlines()[-1] if run.stderr else f"go ended {run.returncode}"
    # Called after its folder, which need not be the tool's name.
    (to / re.sub(r"/v\d+$", "", wanted.package).rpartition("/")[2]).rename(_path(name))
    return None
