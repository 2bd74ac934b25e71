"""`penstock config`: what the settings are, who says so, and what is wrong with them."""

import contextlib
import json
import os
import pty
import subprocess
import tomllib
from pathlib import Path

from jsonschema import Draft7Validator

from tests.support.command import PENSTOCK, Ended, penstock

PUBLISHED = Path("schemas/settings.schema.json").read_text()
README = Path("README.md").read_text()

TOML = """
default_program = "qa"

[programs]
qa = "question -> answer"
support = { entry = "desk:SupportDesk", model = "large", timeout_ms = 60000 }

[pool]
slots = 8

[headers]
forward = ["a", "b"]

[model]
name = "openai/small"
options = { temperature = 0.5, max_tokens = 80, extra_headers = { X-Team = "secret-header" } }

[models.large]
name = "anthropic/large"
engine = "litellm"
api_base = "https://me:secret-user@gateway/v1?api_key=secret-query&version=2"

[kafka.client]
"security.protocol" = "SASL_SSL"
"sasl.username" = "me"
"sasl.password" = "secret-password"
"ssl.key.location" = "client.key"
"ssl.key.password" = "secret-key-password"
"""


async def config(folder: Path, *words: str, toml: str = TOML, **variables: str) -> Ended:
    (folder / "penstock.toml").write_text(toml)
    (folder / ".env").write_text("PENSTOCK_INTAKE__HIGH=300\nANTHROPIC_API_KEY=secret-dotenv\n")
    env = {"OPENAI_API_KEY": "secret-key", "PENSTOCK_POOL__ORDERING": "none", **variables}
    return await penstock("config", *words, env=env, cwd=folder)


async def test_every_value_is_shown_with_its_source_and_no_secret(tmp_path: Path) -> None:
    ended = await config(tmp_path, "show", "--output", "json", KAFKA_BOOTSTRAP_SERVERS="kafka:9092")
    assert (ended.code, ended.stderr) == (0, "")
    lines = [json.loads(line) for line in ended.stdout.splitlines()]
    told = {line["name"]: (line["value"], line["source"]) for line in lines}
    hidden, toml = "**********", "penstock.toml"
    expected = {
        "KAFKA__BOOTSTRAP_SERVERS": ("kafka:9092", "KAFKA_BOOTSTRAP_SERVERS"),
        "KAFKA__GROUP_ID": ("penstock", "default"),
        "KAFKA__GROUP_INSTANCE_ID": (None, "default"),
        "KAFKA__CLIENT__SECURITY_PROTOCOL": ("SASL_SSL", toml),
        "KAFKA__CLIENT__SASL_USERNAME": ("me", toml),
        "KAFKA__CLIENT__SASL_PASSWORD": (hidden, toml),
        "KAFKA__CLIENT__SSL_KEY_LOCATION": ("client.key", toml),
        "KAFKA__CLIENT__SSL_KEY_PASSWORD": (hidden, toml),
        "POOL__SLOTS": (8, toml),
        "POOL__ORDERING": ("none", "PENSTOCK_POOL__ORDERING"),
        "INTAKE__HIGH": (300, ".env"),
        "HEADERS__FORWARD": (["a", "b"], toml),
        "PROGRAMS__QA__ENTRY": ("question -> answer", toml),
        "PROGRAMS__QA__MODEL": ("default", "default"),
        "PROGRAMS__SUPPORT__TIMEOUT_MS": (60000, toml),
        "MODEL__API_KEY": (hidden, "OPENAI_API_KEY"),
        "MODEL__OPTIONS__MAX_TOKENS": (80, toml),
        "MODEL__OPTIONS__EXTRA_HEADERS__X-TEAM": (hidden, toml),
        "MODELS__LARGE__API_KEY": (hidden, ".env"),
        "MODELS__LARGE__API_BASE": (
            f"https://{hidden}@gateway/v1?api_key={hidden}&version=2",
            toml,
        ),
    }
    assert {name: told[name] for name in expected} == expected
    assert "secret" not in ended.stdout


async def test_in_a_pipe_it_is_aligned_text_a_line_for_each(tmp_path: Path) -> None:
    ended = await config(tmp_path, "show")
    lines = ended.stdout.splitlines()
    [slots] = [line.split() for line in lines if line.startswith("POOL__SLOTS ")]
    assert slots == ["POOL__SLOTS", "8", "penstock.toml"]
    assert len({line.rfind("default") for line in lines if line.endswith("  default")}) == 1
    assert "secret" not in ended.stdout


async def test_what_has_its_default_may_be_left_out(tmp_path: Path) -> None:
    ended = await config(tmp_path, "show", "--changed")
    lines = ended.stdout.splitlines()
    assert not [line for line in lines if line.endswith("default")]
    assert len(lines) == 23


def test_on_a_terminal_it_is_a_table(tmp_path: Path) -> None:
    (tmp_path / "penstock.toml").write_text(TOML)
    ours, theirs = pty.openpty()
    env = {**os.environ, "COLUMNS": "200", "TERM": "xterm"}
    with subprocess.Popen(
        [PENSTOCK, "config", "show"], stdout=theirs, stdin=theirs, env=env, cwd=tmp_path
    ) as process:
        os.close(theirs)
        said = _to_its_end(ours)
    os.close(ours)
    assert process.returncode == 0
    heading, *rows = said.decode().splitlines()
    assert "Setting" in heading
    assert any("POOL__SLOTS" in row and "penstock.toml" in row for row in rows)
    assert b"secret" not in said


def _to_its_end(terminal: int) -> bytes:
    said = b""
    # On Linux the end of a terminal is an error.
    with contextlib.suppress(OSError):
        while more := os.read(terminal, 65536):
            said += more
    return said


async def test_what_is_right_is_ok(tmp_path: Path) -> None:
    client = TOML.replace('"ssl.key.', '# "').replace(
        '"SASL_SSL"', '"SASL_SSL"\nsasl.mechanism="PLAIN"'
    )
    ended = await config(tmp_path, "validate", toml=client)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout == (
        "ok: 22 settings from penstock.toml, .env, PENSTOCK_POOL__ORDERING, OPENAI_API_KEY\n"
        "    programs: qa, support\n"
        "    models: default (openai/small), large (anthropic/large)\n"
    )
    told = json.loads((await config(tmp_path, "validate", "--output", "json", toml=client)).stdout)
    assert told["settings"] == 22
    assert told["models"] == {"default": "openai/small", "large": "anthropic/large"}


async def test_a_connection_that_cannot_be_made_is_wrong(tmp_path: Path) -> None:
    ended = await config(tmp_path, "validate")
    assert ended.code == 2
    assert ended.stderr.startswith("penstock: setting KAFKA__CLIENT: sasl.mechanism is missing")


async def test_everything_that_is_wrong_is_told_a_line_each(tmp_path: Path) -> None:
    wrong = {"PENSTOCK_POOL__SLOT": "3", "PENSTOCK_GATE__RUN": "many", "PENSTOCK_TOPIC": "x"}
    as_json = ("--output", "json")
    for words in (("validate",), ("show",), ("validate", *as_json), ("show", *as_json)):
        ended = await config(tmp_path, *words, **wrong)
        assert (ended.code, ended.stdout) == (2, "")
        lines = ended.stderr.splitlines()
        assert len(lines) == 3
        assert all(line.startswith("penstock: ") for line in lines)
        for name in wrong:
            assert [line for line in lines if name in line]


async def test_a_flag_that_is_misspelt_is_an_error_with_the_nearest(tmp_path: Path) -> None:
    ended = await penstock("serve", "--slotz", "3", cwd=tmp_path)
    assert ended.code == 2
    assert "--slots" in ended.stderr


async def test_the_schema_tells_an_editor_a_good_file_from_a_bad_one(tmp_path: Path) -> None:
    ended = await config(tmp_path, "schema")
    schema = json.loads(ended.stdout)
    assert ended.stdout == PUBLISHED
    Draft7Validator.check_schema(schema)
    validator = Draft7Validator(schema)
    readme = README.partition("```toml\n")[2].partition("```")[0]
    for good in (TOML, readme, "", '[model]\napi_base = "http://here"'):
        assert not list(validator.iter_errors(tomllib.loads(good)))
    bad = {
        "[pool]\nslotz = 3": "slotz",
        "[pool]\nslots = 0": "0 is less than",
        'log_level = "loud"': "loud",
        "[programs.qa]\nentri = 'a -> b'": "entri",
        "[models.large]\napi_bas = 'x'": "api_bas",
        "[kafka.client]\n'ssl.x' = 3": "3 is not of type",
        "pols = 3": "pols",
    }
    for text, says in bad.items():
        [error] = validator.iter_errors(tomllib.loads(text))
        assert says in error.message
