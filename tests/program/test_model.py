"""Which client asks which model."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from penstock import settings
from penstock.errors import ConfigurationError
from penstock.program import model
from penstock.program.native_engine import NativeEngine
from penstock.program.openai_engine import OpenAIEngine
from penstock.program.reading import Timeouts


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for provider in ("OPENAI", "ANTHROPIC", "GROQ", "GEMINI"):
        for what in ("API_KEY", "API_BASE", "BASE_URL"):
            monkeypatch.delenv(f"{provider}_{what}", raising=False)


def build(
    name: str,
    engine: model.EngineName = "auto",
    *,
    api_key: str | None = "x",
    api_base: str | None = None,
    **options: Any,
) -> Any:
    """The async engine of the language model; None where DSPy chooses one itself."""
    return model.build(
        name,
        "chat",
        connections=200,
        api_base=api_base,
        api_key=api_key,
        options=options,
        engine=engine,
        timeouts=Timeouts(),
    ).lm._async_engine_spec


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("openai/gpt-4o-mini", OpenAIEngine),
        ("groq/llama-3.3-70b-versatile", OpenAIEngine),
        ("anthropic/claude-sonnet-4-5", NativeEngine),
        ("gemini/gemini-2.5-flash", NativeEngine),
    ],
)
def test_auto_is_ours_where_the_wire_is_chat_completions(name: str, engine: type[Any]) -> None:
    assert type(build(name)) is engine
    assert type(build(name, "native")) is NativeEngine


def test_a_server_of_ones_own_needs_no_key() -> None:
    assert type(build("openai/any", api_key=None, api_base="http://me/v1")) is OpenAIEngine
    with pytest.raises(ConfigurationError, match="API key; set OPENAI_API_KEY, or its own API_KEY"):
        build("openai/any", api_key=None)


def test_the_customary_key_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "customary")
    assert type(build("openai/any", api_key=None)) is OpenAIEngine


def test_the_responses_api_is_dspys_own() -> None:
    engine = build("openai/gpt-4o", model_type="responses")
    assert type(engine) is NativeEngine
    assert engine.resolve("openai/gpt-4o").provider == "openai"


def test_a_door_of_a_clouds_own_is_dspys_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", "https://me.openai.azure.com")
    assert type(build("azure/gpt-4o")) is NativeEngine
    with pytest.raises(ConfigurationError, match="set ENGINE to auto"):
        build("azure/gpt-4o", "openai")


@pytest.mark.parametrize(
    ("name", "options", "engine", "says"),
    [
        ("anthropic/claude-sonnet-4-5", {}, "openai", "set ENGINE to auto"),
        ("watsonx/granite", {}, "auto", "set ENGINE to litellm"),
        ("watsonx/granite", {}, "native", "set ENGINE to litellm"),
        ("openai/any", {"extra_headers": {"a": "b"}}, "auto", "set ENGINE to litellm"),
        ("any", {}, "auto", "for example openai/any"),
        ("openai/", {}, "auto", "provider prefix"),
        ("openai/o3", {"max_tokens": 5}, "auto", "reasoning models"),
    ],
)
def test_what_cannot_be_names_the_setting(
    name: str, options: dict[str, Any], engine: model.EngineName, says: str
) -> None:
    with pytest.raises(ConfigurationError, match=says) as caught:
        build(name, engine, **options)
    assert str(caught.value).startswith(f"model {name!r}: ")


def test_litellm_is_taken_where_it_is_asked_for() -> None:
    pytest.importorskip("litellm", reason="litellm is not installed")
    assert build("watsonx/granite", "litellm") is None


def test_litellm_may_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigurationError, match="pip install litellm"):
        build("watsonx/granite", "litellm")


def test_another_address_in_the_environment_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://gateway/v1")
    with pytest.raises(ConfigurationError, match="set API_BASE, or ENGINE to litellm"):
        build("anthropic/claude-sonnet-4-5")
    build("anthropic/claude-sonnet-4-5", api_base="http://gateway/v1")


def test_openais_customary_address(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    def address(name: str, **more: str) -> str | None:
        loaded = settings.load(model={"name": name, **more})
        return loaded.all_models["default"].api_base

    monkeypatch.setenv("OPENAI_API_BASE", "http://older/v1")
    assert address("openai/any") == "http://older/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "http://newer/v1")
    assert address("openai/any") == "http://newer/v1"
    assert address("groq/any") is None
    assert address("openai/any", api_base="http://set/v1") == "http://set/v1"
    assert type(build("openai/any", api_base=address("openai/any"))) is OpenAIEngine
