"""Flags, environment, .env, penstock.toml, defaults: in this order; what is wrong is one line."""

from pathlib import Path

import pytest

from penstock import settings
from penstock.errors import ConfigurationError

CUSTOMARY = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_API_BASE", "GOOGLE_API_KEY")


def source(*path: str) -> str:
    """Who says this setting."""
    return settings.resolve().said[path].source


def key(model: str = "default") -> str | None:
    key = settings.load().all_models[model].api_key
    return None if key is None else key.get_secret_value()


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("KAFKA_BOOTSTRAP_SERVERS", *CUSTOMARY):
        monkeypatch.delenv(name, raising=False)


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
    readme = Path(__file__).parents[2] / "README.md"
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
        ("[pool]\nslotz = 3", "penstock.toml: pool.slotz .* did you mean pool.slots"),
        ("[pol]\nslots = 3", "penstock.toml: pol.slots .* did you mean pool.slots"),
        ("[models.m]\nname = 'a/b'\napi_bas = 'x'", "did you mean models.m.api_base"),
        ("pool = 3", "penstock.toml: pool is a table; set what is in it, such as pool.slots"),
        ("[kafka]\nclient = 'x'", "kafka.client is a table"),
        ("[intake]\nhigh = 5\nlow = 5", "INTAKE__LOW"),
        ("[retry]\nbase_ms = 2\ncap_ms = 1", "RETRY__BASE_MS"),
        ('default_program = "x"', "DEFAULT_PROGRAM"),
        ("programs = {}", "PROGRAMS"),
        ("[models.large]\n", "MODELS__LARGE__NAME"),
        ("= nonsense", "penstock.toml"),
        ("[model]\nname = 'a/b'\napi_base = 'http://me:word@host'", "API_BASE of model 'default'"),
        ("[models.m]\nname = 'a/b'\napi_base = 'http://host?key=me'", "API_BASE of model 'm'"),
    ],
)
def test_what_is_wrong_is_named(toml: str, says: str) -> None:
    Path("penstock.toml").write_text(toml)
    with pytest.raises(ConfigurationError, match=says) as caught:
        settings.load()
    assert "\n" not in str(caught.value)


def test_a_program_in_one_line_may_be_more_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("penstock.toml").write_text('[programs]\nqa = "question -> answer"\n')
    monkeypatch.setenv("PENSTOCK_PROGRAMS__QA__TIMEOUT_MS", "5")
    program = settings.load().programs["qa"]
    assert (program.entry, program.timeout_ms) == ("question -> answer", 5)
    assert source("programs", "qa", "entry") == "penstock.toml"
    assert source("programs", "qa", "timeout_ms") == "PENSTOCK_PROGRAMS__QA__TIMEOUT_MS"


def test_a_table_may_be_json_and_more_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_KAFKA__CLIENT", '{"security.protocol": "SASL_SSL"}')
    monkeypatch.setenv("PENSTOCK_KAFKA__CLIENT__SASL.USERNAME", "me")
    monkeypatch.setenv("PENSTOCK_PROGRAMS", '{"qa": "question -> answer"}')
    loaded = settings.load()
    assert loaded.kafka.client == {"security.protocol": "SASL_SSL", "sasl.username": "me"}
    assert loaded.programs["qa"].entry == "question -> answer"
    assert source("kafka", "client", "security.protocol") == "PENSTOCK_KAFKA__CLIENT"
    monkeypatch.setenv("PENSTOCK_PROGRAMS", '{"qa": ')
    with pytest.raises(ConfigurationError, match="PENSTOCK_PROGRAMS is no JSON"):
        settings.load()


def test_names_in_the_environment_are_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("penstock_Pool__Slots", "7")
    assert settings.load().pool.slots == 7
    assert source("pool", "slots") == "penstock_Pool__Slots"


def test_the_customary_servers_may_stand_in_dotenv(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("KAFKA_BOOTSTRAP_SERVERS=dotenv:9092\n")
    assert settings.load().kafka.bootstrap_servers == "dotenv:9092"
    assert source("kafka", "bootstrap_servers") == ".env"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "environment:9092")
    assert settings.load().kafka.bootstrap_servers == "environment:9092"
    assert source("kafka", "bootstrap_servers") == "KAFKA_BOOTSTRAP_SERVERS"


def test_a_provider_s_own_names_are_taken_where_ours_are_not_set(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("penstock.toml").write_text(
        '[model]\nname = "openai/a"\n[models.other]\nname = "gemini/b"\n'
    )
    assert (key(), key("other")) == (None, None)
    Path(".env").write_text("OPENAI_API_KEY=dotenv\n")
    assert (key(), key("other")) == ("dotenv", None)
    assert source("model", "api_key") == ".env"
    monkeypatch.setenv("OPENAI_API_KEY", "environment")
    monkeypatch.setenv("GOOGLE_API_KEY", "google")
    assert (key(), key("other")) == ("environment", "google")
    assert source("models", "other", "api_key") == "GOOGLE_API_KEY"
    monkeypatch.setenv("PENSTOCK_MODEL__API_KEY", "ours")
    assert key() == "ours"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("POOL__SLOT", "did you mean PENSTOCK_POOL__SLOTS"),
        ("POOL_SLOTS", "did you mean PENSTOCK_POOL__SLOTS"),
        ("MODEL__APIBASE", "did you mean PENSTOCK_MODEL__API_BASE"),
        ("MODELS__LARGE__API_KEYS", "did you mean PENSTOCK_MODELS__LARGE__API_KEY"),
        ("MODELS_LARGE_API_KEY", "did you mean PENSTOCK_MODELS__LARGE__API_KEY"),
        ("PROGRAMS__QA__ENTRIE", "did you mean PENSTOCK_PROGRAMS__QA__ENTRY"),
        ("PROGRAM__QA", "did you mean PENSTOCK_PROGRAMS"),
        ("TELEMETRY_PORT", "did you mean PENSTOCK_TELEMETRY__PORT"),
        ("KAFKA__SASL_PASSWORD", r"did you mean PENSTOCK_KAFKA__CLIENT__SASL_PASSWORD\?"),
        ("KAFKA__SECURITY__PROTOCOL", r"did you mean PENSTOCK_KAFKA__CLIENT__SECURITY_PROTOCOL\?"),
        ("POOL__SLOTS__MORE", "is no setting"),
        ("SOMETHING_ELSE_ALTOGETHER", "is no setting"),
        ("__", "is no setting"),
    ],
)
@pytest.mark.parametrize("dotenv", [False, True])
def test_a_misspelt_variable_is_an_error(
    name: str, says: str, dotenv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"PENSTOCK_{name}"
    if dotenv:
        Path(".env").write_text(f"{name}=1\n")
    else:
        monkeypatch.setenv(name, "1")
    with pytest.raises(ConfigurationError, match=says) as caught:
        settings.load()
    where = f".env: {name}" if dotenv else f"the environment variable {name}"
    assert str(caught.value).startswith(f"{where} is no setting")


def test_what_is_misspelt_is_an_error_even_if_it_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_POOL__SLOT", "")
    with pytest.raises(ConfigurationError, match="PENSTOCK_POOL__SLOT is no setting"):
        settings.load()


def test_names_of_one_s_own_are_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (
        "MODELS__ANY_NAME__NAME",
        "MODELS__ANY_NAME__OPTIONS__TEMPERATURE",
        "MODELS__ANY_NAME__OPTIONS__EXTRA__DEEP",
        "PROGRAMS__ANY_NAME",
    ):
        monkeypatch.setenv(f"PENSTOCK_{name}", "1")
    loaded = settings.load()
    assert loaded.models["any_name"].options == {"temperature": 1, "extra": {"deep": "1"}}
    assert loaded.programs["any_name"].entry == "1"


def test_every_error_is_told_with_the_place_where_it_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("penstock.toml").write_text(
        '[pool]\nslots = "many"\n[models.large]\nadapter = "chat"\n[gate]\nrum = 3\n'
    )
    Path(".env").write_text("PENSTOCK_RETRY__BASE_MS=-1\n")
    monkeypatch.setenv("PENSTOCK_POOL__ORDERING", "random")
    found = settings.resolve(drain_ms=-5)
    assert found.settings is None
    assert set(found.wrong) == {
        "penstock.toml: gate.rum is no setting; did you mean gate.run?",
        (
            "setting POOL__SLOTS: Input should be a valid integer, unable to parse string as an "
            "integer, not 'many' (penstock.toml: pool.slots)"
        ),
        (
            "setting POOL__ORDERING: Input should be 'key', 'partition' or 'none', not 'random' "
            "(the environment variable PENSTOCK_POOL__ORDERING)"
        ),
        (
            "setting RETRY__BASE_MS: Input should be greater than 0, not '-1' "
            "(.env: PENSTOCK_RETRY__BASE_MS)"
        ),
        "setting MODELS__LARGE__NAME is missing (beside penstock.toml: models.large.adapter)",
        "setting DRAIN_MS: Input should be greater than or equal to 0, not -5 (the flag DRAIN_MS)",
    }
    with pytest.raises(ConfigurationError, match=r"\(and 5 more: see `penstock config validate`"):
        settings.load(drain_ms=-5)


def test_what_cannot_be_read_hides_no_misspelt_name(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("penstock.toml").write_text("= nonsense")
    monkeypatch.setenv("PENSTOCK_POOL__SLOT", "1")
    monkeypatch.setenv("PENSTOCK_DEFAULT_PROGRAM", "in-the-file")
    toml, variable = settings.resolve().wrong
    assert toml.startswith("penstock.toml: ")
    assert "PENSTOCK_POOL__SLOT is no setting" in variable


def test_an_error_says_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("penstock.toml").write_text(
        "[model]\nname = 'openai/a'\napi_key = 12345678\n"
        "[kafka.client]\n'sasl.password' = 87654321\n'ssl.ca.location' = 55\n"
    )
    monkeypatch.setenv("PENSTOCK_POOL__SLOTS", "https://me:password@host")
    wrong = "\n".join(settings.resolve().wrong)
    assert "MODEL__API_KEY" in wrong
    assert "KAFKA__CLIENT__SASL_PASSWORD" in wrong
    assert "not 55" in wrong
    assert "not 'https://**********@host'" in wrong
    assert not any(secret in wrong for secret in ("12345678", "87654321", "password@"))


def test_the_client_s_names_are_librdkafka_s_however_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("penstock.toml").write_text(
        "[kafka.client]\nsecurity.protocol = 'SASL_SSL'\nsasl_password = 'a'\nssl_ca_location = 'b'"
    )
    monkeypatch.setenv("PENSTOCK_KAFKA__CLIENT", '{"sasl.password": "c", "sasl.username": "me"}')
    monkeypatch.setenv("PENSTOCK_KAFKA__CLIENT__SSL_CA_LOCATION", "d")

    assert settings.load().kafka.client == {
        "security.protocol": "SASL_SSL",
        "sasl.password": "c",
        "sasl.username": "me",
        "ssl.ca.location": "d",
    }


def test_a_misspelt_name_of_the_client_is_an_error_and_its_value_is_told_to_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PENSTOCK_KAFKA__CLIENT__SASL_PASWORD", "hunter2")
    found = settings.resolve()
    (said,) = found.wrong
    assert said.startswith(
        "the environment variable PENSTOCK_KAFKA__CLIENT__SASL_PASWORD is no setting; "
        "did you mean PENSTOCK_KAFKA__CLIENT__SASL_PASSWORD?"
    )
    assert "hunter2" not in said
    assert ("kafka", "client", "sasl.pasword") not in found.said


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("KAFKA__BOOTSTRAP_SERVERS", "me:s3cret@kafka:9092", "BOOTSTRAP_SERVERS is not host:port"),
        ("KAFKA__BOOTSTRAP_SERVERS", "http://kafka:9092", "BOOTSTRAP_SERVERS is not host:port"),
        ("MODEL__API_BASE", "me:s3cret@here/v1", "API_BASE of model 'default' does not begin with"),
    ],
)
def test_an_address_that_is_none_is_not_quoted(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv("PENSTOCK_MODEL__NAME", "openai/any")
    monkeypatch.setenv(f"PENSTOCK_{name}", value)
    with pytest.raises(ConfigurationError, match=says) as caught:
        settings.load()
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("servers", ["a:1", "a:1,b:2", "[::1]:9092, kafka-1.example:9093", "a"])
def test_addresses_of_brokers(monkeypatch: pytest.MonkeyPatch, servers: str) -> None:
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", servers)
    assert settings.load().kafka.bootstrap_servers == servers


def test_a_line_of_dotenv_that_is_none_is_an_error() -> None:
    Path(".env").write_text("A=1\nPENSTOCK_POOL__SLOTS: 3\n")
    with pytest.raises(ConfigurationError, match=r"^\.env, line 2: not NAME=value"):
        settings.load()
