"""The published contract is what the models say, and the examples are what goes over the wire."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

from penstock.events import token
from penstock.events.completion import Completion
from penstock.events.control import Cancel, Pause
from penstock.events.member import Member
from penstock.events.question import Question
from penstock.events.sums import Standing
from penstock.events.token import TokenEvent
from penstock.gateway.frames import ClientFrame, ServerFrame
from penstock.replay.plan import Plan
from schemas.__main__ import files
from schemas.chart import VALUES, values
from schemas.performance import measured
from schemas.performance_chart import DOCS, charts
from schemas.reference import README, readme

SCHEMAS = Path("schemas")
EXAMPLES = sorted((SCHEMAS / "examples").glob("*.json"))
MODELS: dict[str, type[BaseModel]] = {
    "question": Question,
    "token": TokenEvent,
    "completion": Completion,
    "cancel": Cancel,
    "member": Member,
    "pause": Pause,
    "replay": Plan,
    "client-frame": ClientFrame,
    "server-frame": ServerFrame,
    "statusz": Standing,
}
PARSER = "@asyncapi/parser@3.6.3"


@pytest.mark.parametrize(("name", "content"), files().items(), ids=files())
def test_the_committed_file_is_what_the_models_generate(name: str, content: str) -> None:
    assert (SCHEMAS / name).read_text() == content, "run `make schemas`"


def test_the_readme_lists_settings_metrics_commands_and_speed_as_they_are() -> None:
    assert README.read_text() == readme(), "run `make schemas`"


@pytest.mark.parametrize(("name", "content"), charts(measured()).items(), ids=charts(measured()))
def test_the_chart_shows_what_was_measured(name: str, content: str) -> None:
    assert (DOCS / name).read_text() == content, "run `make schemas`"


def test_the_helm_chart_takes_the_settings_as_they_are() -> None:
    assert VALUES.read_text() == values(), "run `make schemas`"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_survives_decoding_and_encoding(path: Path) -> None:
    kind = path.name.partition(".")[0]
    example = json.loads(path.read_text())
    schema = json.loads((SCHEMAS / f"{kind}.schema.json").read_text())
    Draft202012Validator(schema).validate(example)
    decoded = MODELS[kind].model_validate_json(path.read_bytes())
    encoded: dict[str, Any] = decoded.model_dump(mode="json", exclude_unset=True)
    assert encoded == example


@pytest.mark.parametrize(
    "path", [path for path in EXAMPLES if path.name.startswith("token.")], ids=lambda p: p.stem
)
def test_the_fast_encoder_writes_what_the_model_reads(path: Path) -> None:
    example = json.loads(path.read_text())
    fixed = {"type", "question_id", "sequence", "attempt"}
    body = {name: value for name, value in example.items() if name not in fixed}
    written = token.encode(
        example["type"], example["question_id"], example["sequence"], example["attempt"], **body
    )
    assert orjson.loads(written) == example
    assert TokenEvent.model_validate_json(written).model_dump(mode="json") == example


def test_the_asyncapi_document_passes_its_own_parser(tmp_path: Path) -> None:
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("Node is not installed")
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "penstock" / "asyncapi"
    if not (cache / "node_modules" / "@asyncapi" / "parser").exists():
        cache.mkdir(parents=True, exist_ok=True)
        installed = subprocess.run(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", cache, PARSER],
            capture_output=True,
            text=True,
            check=False,
        )
        if installed.returncode != 0:
            pytest.skip(f"the parser could not be installed: {installed.stderr.strip()[-200:]}")
    script = cache / "validate.mjs"
    script.write_text(
        "import { Parser, fromFile } from '@asyncapi/parser';\n"
        "const { document, diagnostics } = await fromFile(new Parser(), process.argv[2]).parse();\n"
        "for (const d of diagnostics) console.log(d.code, d.path.join('.'), d.message);\n"
        "process.exit(document && diagnostics.length === 0 ? 0 : 1);\n"
    )
    checked = subprocess.run(
        ["node", script, (SCHEMAS / "asyncapi.yaml").absolute()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
