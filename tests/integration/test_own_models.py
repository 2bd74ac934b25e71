"""Models of one's own: by their address and key, beside each other, each with its limits."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from penstock.cli import run_once
from penstock.settings import ModelSettings
from tests.support.command import penstock
from tests.support.conversation import serving
from tests.support.kafka import Topics
from tests.support.model_server import model_server


async def test_what_openais_users_have_set_is_enough(tmp_path: Path) -> None:
    async with model_server() as models:
        models.revoked.add("sk-old")
        env = {"OPENAI_BASE_URL": models.api_base, "PENSTOCK_MODEL__NAME": "openai/ok"}
        good, bad = await asyncio.gather(
            *(
                penstock("run", "Why?", env={**env, "OPENAI_API_KEY": key}, cwd=tmp_path)
                for key in ("sk-mine", "sk-old")
            )
        )

    assert (good.code, good.stdout) == (0, "You said Why?\n")
    # So it is this key that is shown.
    assert bad.code == 1
    assert bad.stderr.startswith("penstock: failed (OPERATOR model_auth): ")


SETTINGS = """
[programs]
qa = "question -> answer"
hard = { entry = "question -> answer", model = "large" }

[models.default]
name = "openai/small"
api_base = "http://mine/v1"
api_key = "sk-mine"
adapter = "json"

[models.large]
name = "anthropic/large"
"""


@pytest.fixture
def _settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "penstock.toml").write_text(SETTINGS)


def model_of(program: str | None, model: str | None) -> ModelSettings:
    settings, name = run_once.chosen(program, model)
    asks = settings.programs[name].model
    # One that is not asked may have no key.
    assert list(settings.all_models) == [asks]
    return settings.all_models[asks]


@pytest.mark.usefixtures("_settings")
def test_run_asks_the_model_of_the_program_or_of_the_command_line() -> None:
    assert model_of(None, None).name == "openai/small"
    assert model_of("hard", None).name == "anthropic/large"
    assert model_of(None, "large").name == "anthropic/large"
    assert model_of("text -> summary", None).name == "openai/small"


@pytest.mark.usefixtures("_settings")
def test_a_model_by_name_has_address_and_key_of_its_sibling_and_of_nobody_else() -> None:
    sibling, stranger = model_of(None, "openai/other"), model_of(None, "groq/other")

    assert sibling.name == "openai/other"
    assert (sibling.api_base, sibling.adapter) == ("http://mine/v1", "json")
    assert sibling.api_key is not None
    assert stranger == ModelSettings(name="groq/other")


async def test_each_model_has_limits_of_its_own(bootstrap_servers: str, topics: Topics) -> None:
    async with model_server() as server:
        # Its next call is granted after a minute.
        rationed = {"name": "openai/ok", "rpm": 1, "adapter": "json", "api_base": server.api_base}
        programs = {
            "granted": {"entry": "question -> answer"},
            "rationed": {"entry": "question -> answer", "model": "rationed"},
        }
        flags: dict[str, Any] = {
            "models": {"rationed": rationed},
            "programs": programs,
            "drain": False,
        }
        address = "openai/echo", server.api_base
        async with serving(bootstrap_servers, topics, *address, **flags) as (_, talk):
            for number in range(3):
                for name in programs:
                    await talk.ask({"id": f"{name}-{number}", "program": name, "question": "?"})
            granted = [await talk.completion(f"granted-{number}") for number in range(3)]
            one = await talk.completion("rationed-0")

        assert {each["answer"] for each in granted} == {"?"}
        assert (one["answer"], one["model"]) == ("You said ?", "openai/ok")
        assert server.calls.per_model == {"echo": 3, "ok": 1}
