"""Flags, environment, .env, penstock.toml, defaults: in this order; what is wrong is one line."""

from pathlib import Path

import pytest

from penstock import settings
from penstock.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)


def test_the_defaults_serve_one_program_on_a_local_kafka() -> None:
    loaded = settings.load()
    assert loaded.kafka.bootstrap_servers == "localhost:9092"
    assert list(loaded.programs) == ["qa"]
    assert loaded.all_models == {}


def test_each_source_comes_before_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("penstock.toml").write_text("[pool]\nslots = 1\n")
    assert settings.load().pool.slots == 1
    Path(".env").write_text("PENSTOCK_POOL__SLOTS=2\n")
    assert settings.load().pool.slots == 2
    monkeypatch.setenv("PENSTOCK_POOL__SLOTS", "3")
    assert settings.load().pool.slots == 3
    assert settings.load(pool={"slots": 4}).pool.slots == 4


def test_a_source_that_sets_one_thing_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("penstock.toml").write_text('[kafka]\ngroup_id = "from-toml"\n')
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "customary:9092")
    loaded = settings.load()
    assert (loaded.kafka.group_id, loaded.kafka.bootstrap_servers) == (
        "from-toml",
        "customary:9092",
    )
    monkeypatch.setenv("PENSTOCK_KAFKA__BOOTSTRAP_SERVERS", "ours:9092")
    assert settings.load().kafka.bootstrap_servers == "ours:9092"


def test_programs_and_models_by_name_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_PROGRAMS__QA", "question -> answer")
    monkeypatch.setenv("PENSTOCK_PROGRAMS__SUM__ENTRY", "text -> summary")
    monkeypatch.setenv("PENSTOCK_PROGRAMS__SUM__MODEL", "large")
    monkeypatch.setenv("PENSTOCK_MODEL__NAME", "openai/small")
    monkeypatch.setenv("PENSTOCK_MODELS__LARGE__NAME", "openai/large")
    monkeypatch.setenv("PENSTOCK_MODELS__LARGE__API_KEY", "secret")
    loaded = settings.load()
    assert {name: (p.entry, p.model) for name, p in loaded.programs.items()} == {
        "qa": ("question -> answer", "default"),
        "sum": ("text -> summary", "large"),
    }
    assert {name: m.name for name, m in loaded.all_models.items()} == {
        "default": "openai/small",
        "large": "openai/large",
    }
    assert "secret" not in repr(loaded)


def test_the_readme_example_is_read_as_it_says() -> None:
    readme = Path(__file__).parents[1] / "README.md"
    example = readme.read_text().partition("```toml\n")[2].partition("```")[0]
    Path("penstock.toml").write_text(example)
    loaded = settings.load()
    assert loaded.programs["support"].timeout_ms == 60_000
    assert loaded.all_models[loaded.programs["support"].model].name == "openai/gpt-4o"


def test_what_kubernetes_says_of_a_service_called_penstock_is_no_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_9464_TCP_ADDR"):
        monkeypatch.setenv(f"PENSTOCK_{name}", "tcp://10.0.0.1:9464")
        monkeypatch.setenv(f"PENSTOCK_GATEWAY_{name}", "tcp://10.0.0.1:9464")
    settings.load()


def test_forwarded_headers_are_a_comma_separated_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_HEADERS__FORWARD", "a, b")
    assert settings.load().headers.forward == ("a", "b")


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_POOL__SLOTS", "")
    assert settings.load().pool.slots == 64


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("[pool]\nslots = 0", "POOL__SLOTS"),
        ('[pool]\nslots = "many"', "POOL__SLOTS"),
        ('[pool]\nordering = "random"', "POOL__ORDERING"),
        ("[pool]\nslotz = 3", "POOL__SLOTZ"),
        ("[pol]\nslots = 3", "'pol'"),
        ("[intake]\nhigh = 5\nlow = 5", "INTAKE__LOW"),
        ("[retry]\nbase_ms = 2\ncap_ms = 1", "RETRY__BASE_MS"),
        ('default_program = "x"', "DEFAULT_PROGRAM"),
        ("programs = {}", "PROGRAMS"),
        ("[models.large]\n", "MODELS__LARGE__NAME"),
        ("= nonsense", "penstock.toml"),
    ],
)
def test_what_is_wrong_is_named(toml: str, says: str) -> None:
    Path("penstock.toml").write_text(toml)
    with pytest.raises(ConfigurationError, match=says) as caught:
        settings.load()
    assert "\n" not in str(caught.value)
