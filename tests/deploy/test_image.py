"""The Dockerfile by hadolint, and what else an image of ours has to be.

That it runs as it should is seen by `make acceptance image`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from penstock import __version__
from tests.support.engine import DOCKERFILE, default_base
from tests.support.processes import ROOT

TEXT = DOCKERFILE.read_text()
BUILD, RUNS = (f"FROM {part}" for part in TEXT.split("\nFROM ")[1:])
HADOLINT = Path(sys.executable).with_name("hadolint")


@pytest.mark.skipif(os.name == "nt", reason="hadolint has no wheel for Windows")
def test_hadolint_finds_nothing() -> None:
    lint = subprocess.run([HADOLINT, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (lint.returncode, lint.stdout + lint.stderr) == (0, "")


def test_what_runs_is_laid_over_the_base_by_no_command_of_a_shell() -> None:
    # So that a base without one will do.
    assert not re.search("^RUN", RUNS, re.MULTILINE)
    for line in ('ENTRYPOINT ["penstock"]', 'CMD ["serve"]', "STOPSIGNAL SIGTERM"):
        assert f"\n{line}\n" in RUNS


def test_it_is_nobody_by_number() -> None:
    assert "\nUSER 65532:65532\n" in RUNS


def test_what_is_built_from_has_a_full_version() -> None:
    assert re.fullmatch(r"python:\d+\.\d+\.\d+-slim-\w+", default_base())
    assert re.search(r"pip install [^\n]* uv==\d+\.\d+\.\d+ ", BUILD)
    assert "--require-hashes" in BUILD


def test_its_labels_say_which_version_it_is() -> None:
    assert f"\nARG VERSION={__version__}\n" in RUNS
    labels = re.findall(r"org\.opencontainers\.image\.(\w+)=", RUNS)
    assert {*labels} == {"title", "description", "licenses", "version", "revision", "source"}


def test_what_is_copied_reaches_the_build() -> None:
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", BUILD, re.MULTILINE)
    assert copied
    assert {path for line in copied for path in line.split()} <= {*let_in}
