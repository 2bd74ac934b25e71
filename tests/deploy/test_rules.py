"""Do the alerts ask for what is there, fire where they should, and lead to what is to be done?"""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from penstock.cli import app
from tests.deploy.promql import complaints
from tests.deploy.rules import ALERTS, RECORDED, RULES, RULES_TEST, RUNBOOK, Alert
from tests.deploy.tools import tool

PENSTOCK: Any = typer.main.get_command(app)


def _promtool(*words: str | Path) -> str:
    run = subprocess.run([tool("promtool"), *words], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_promtool_finds_nothing_wrong_with_the_rules() -> None:
    assert f"{len(ALERTS) + len(RECORDED)} rules found" in _promtool(
        "check", "rules", "--lint=all", "--lint-fatal", RULES
    )


def test_they_fire_where_they_should_and_nowhere_else() -> None:
    assert "SUCCESS" in _promtool("test", "rules", RULES_TEST)


def test_each_is_seen_to_fire() -> None:
    fired = set[str]()
    for test in yaml.safe_load(RULES_TEST.read_text())["tests"]:
        for one in test.get("alert_rule_test", ()):
            fired |= {one["alertname"]} if one["exp_alerts"] else set()
        for one in test.get("promql_expr_test", ()):
            for sample in one["exp_samples"]:
                fired |= set(re.findall(r'alertname="(\w+)"', sample["labels"]))
    assert fired == {one.name for one in ALERTS}


@pytest.mark.parametrize("name", [one.name for one in ALERTS])
def test_an_alert_asks_for_what_is_there_and_says_what_is_wrong(name: str) -> None:
    [alert] = [one for one in ALERTS if one.name == name]
    told = " ".join(alert.annotations.values())
    assert not list(complaints(alert.expr, re.findall(r"\$labels\.(\w+)", told), RECORDED))
    assert alert.severity in {"warning", "critical"}
    assert set(alert.annotations) == {"summary", "description", "runbook_url"}
    assert "$labels" in alert.annotations["summary"]
    assert "$value" in told or "{{" in alert.annotations["description"]
    assert alert.annotations["runbook_url"] == f"{RUNBOOK}#{Alert.section(name)}"


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_recorded_is_of_what_is_there(name: str) -> None:
    assert not list(complaints(RECORDED[name]))
    assert any(name in one.expr for one in ALERTS)


# --- the runbook ----------------------------------------------------------------------------------


def _sections() -> dict[str, str]:
    parts = re.split(r"^## (.*)$", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def test_each_alert_has_its_section_and_each_section_its_alert() -> None:
    assert list(_sections()) == [one.name for one in ALERTS]
    for name, text in _sections().items():
        for part in ("**If nothing is done**", "**See**", "**Do**"):
            assert part in text, f"{name} has no {part}"


def test_what_it_links_to_is_there() -> None:
    text = RUNBOOK.read_text()
    known = {Alert.section(one.name) for one in ALERTS}
    assert set(re.findall(r"\(#([\w-]+)\)", text)) <= known
    # From the table at its beginning, to all of them.
    assert set(re.findall(r"\(#([\w-]+)\)", text.partition("\n## ")[0])) == known
    for path in re.findall(r"\]\((\.\./[\w./-]+)\)", text):
        assert (RUNBOOK.parent / path).exists()


def test_the_readme_lists_them_all() -> None:
    readme = Path("README.md").read_text()
    listed = re.findall(rf"\[`(\w+)`\]\({RUNBOOK}#([\w-]+)\)", readme)
    assert listed == [(one.name, Alert.section(one.name)) for one in ALERTS]


def _commands() -> list[str]:
    text = RUNBOOK.read_text()
    blocks = re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    return [line for line in lines + re.findall(r"`(.*?)`", text) if line.startswith("penstock ")]


def test_there_are_commands_in_it() -> None:
    assert len(_commands()) > len(ALERTS)


@pytest.mark.parametrize("line", sorted(set(_commands())))
def test_a_command_in_it_is_one(line: str) -> None:
    """As far as parsing goes; none is run."""
    command, context = PENSTOCK, None
    words = shlex.split(line, comments=True)
    while True:
        context = command.make_context(words[0], words[1:], parent=context)
        if not hasattr(command, "commands"):
            return
        name, command, rest = command.resolve_command(
            context, [*context._protected_args, *context.args]
        )
        words = [name, *rest]
