"""What the settings say of the connection: what is wrong is one line, which tells no secret."""

import asyncio
import sys
import threading
from pathlib import Path

import pytest

from penstock import settings
from penstock.errors import ConfigurationError
from penstock.kafka import oauth
from penstock.kafka.oauth import NoTokenError
from penstock.kafka.security import client_arguments
from penstock.settings import KafkaSettings

README = Path(__file__).parents[2] / "README.md"
SASL = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
USER = {"sasl.username": "ann", "sasl.password": "s3cret"}
OAUTH = {**SASL, "sasl.mechanism": "OAUTHBEARER"}


def refusal(client: dict[str, str]) -> str:
    with pytest.raises(ConfigurationError) as caught:
        client_arguments("localhost:9092", client)
    said = str(caught.value)
    assert said.startswith("setting KAFKA__CLIENT: ")
    assert "\n" not in said
    assert "s3cret" not in said
    return said


def test_nothing_said_is_plaintext() -> None:
    assert client_arguments("here:1", {}) == {
        "bootstrap_servers": "here:1",
        "security_protocol": "PLAINTEXT",
    }


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "scram-sha-512"])
@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.mechanisms"])
def test_a_user_and_a_password(mechanism: str, name: str) -> None:
    client = {"security.protocol": "sasl_plaintext", name: mechanism, **USER}
    assert client_arguments("here:1", client) == {
        "bootstrap_servers": "here:1",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": mechanism.upper(),
        "sasl_plain_username": "ann",
        "sasl_plain_password": "s3cret",
    }


@pytest.mark.parametrize(
    ("client", "says"),
    [
        ({**SASL, "sasl.pasword": "s3cret"}, r"'sasl\.pasword'; did you mean 'sasl\.password'\?"),
        ({"whatever": "x"}, r"'whatever'; known: .*security\.protocol"),
        ({"security.protocol": "SASL_TLS"}, "'SASL_TLS' is none of .*; did you mean SASL_SSL"),
        ({**SASL, **USER, "sasl.mechanism": "GSSAPI"}, "'GSSAPI' is none of PLAIN, SCRAM"),
        ({**SASL, **USER, "sasl.mechanisms": "SCRAM-SHA-256"}, "is set twice, and differs"),
        ({"security.protocol": "SASL_PLAINTEXT", **USER}, r"sasl\.mechanism is missing: PLAIN,"),
        ({**SASL, "sasl.username": "ann"}, r"PLAIN needs sasl\.password"),
        ({**SASL, **USER, "sasl.username": ""}, r"PLAIN needs sasl\.username"),
        (USER, r"sasl\.password says nothing without a security\.protocol of SASL"),
        ({**SASL, **USER, "ssl.ca.location": "x"}, r"ssl\.ca\.location says nothing without"),
        (OAUTH, r"OAUTHBEARER needs sasl\.oauth\.provider"),
        (
            {**OAUTH, "sasl.oauth.provider": "a:b", **USER},
            r"sasl\.password says nothing with OAUTH",
        ),
        ({**SASL, **USER, "sasl.oauth.provider": "a:b"}, r"provider says nothing with PLAIN"),
        ({**OAUTH, "sasl.oauth.provider": "desk"}, r"is not `package\.module:attribute`"),
        ({**OAUTH, "sasl.oauth.provider": "no_such:x"}, "ModuleNotFoundError: .*no_such"),
        ({**OAUTH, "sasl.oauth.provider": "string:digits"}, "is a str; it must be a function"),
    ],
)
def test_what_cannot_work_is_one_line(client: dict[str, str], says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        client_arguments("localhost:9092", client)
    refusal(client)


PROVIDERS = """
import threading

hanging = threading.Event()
def plain(): return "plain"
async def coroutine(): return "coroutine"
class Keeper:
    async def token(self): return "of a class"
keeper = Keeper()
class Called:
    async def __call__(self): return "of a call"
called = Called()
calls = 0
def hangs():
    global calls
    calls += 1
    hanging.wait()
    return f"token {calls}"
def broken(): raise ValueError("s3cret")
def empty(): return None
"""


@pytest.fixture
def providers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, as a program of one's own."""
    module = f"providers_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(PROVIDERS)
    monkeypatch.chdir(tmp_path)
    return module


@pytest.mark.parametrize(
    ("name", "token"),
    [
        ("plain", "plain"),
        ("coroutine", "coroutine"),
        ("Keeper", "of a class"),
        ("keeper", "of a class"),
        ("called", "of a call"),
    ],
)
async def test_a_token_comes_from_a_function_or_from_what_has_one(
    providers: str, name: str, token: str
) -> None:
    client = {**OAUTH, "sasl.oauth.provider": f"{providers}:{name}"}
    provider = client_arguments("here:1", client)["sasl_oauth_token_provider"]
    assert await provider.token() == token


@pytest.mark.parametrize(
    ("name", "says"), [("broken", r"raised ValueError \(\w+\.py:\d+\)"), ("empty", "gives nothing")]
)
async def test_without_a_token_the_provider_is_named_and_not_what_it_says(
    providers: str, name: str, says: str
) -> None:
    client = {**OAUTH, "sasl.oauth.provider": f"{providers}:{name}"}
    provider = client_arguments("here:1", client)["sasl_oauth_token_provider"]
    with pytest.raises(NoTokenError, match=says) as caught:
        await provider.token()
    assert "s3cret" not in str(caught.value)


async def test_a_provider_that_never_comes_back_has_one_thread_which_nobody_waits_for(
    providers: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = {**OAUTH, "sasl.oauth.provider": f"{providers}:hangs"}
    provider = client_arguments("here:1", client)["sasl_oauth_token_provider"]
    before = set(threading.enumerate())
    with monkeypatch.context() as patch:
        patch.setattr(oauth, "TOKEN_SECONDS", 0.01)
        for _ in range(3):
            with pytest.raises(NoTokenError, match=r"gives none within 0\.01 s"):
                await provider.token()
    [thread] = set(threading.enumerate()) - before
    assert thread.daemon
    asked = [asyncio.ensure_future(provider.token()) for _ in range(2)]
    await asyncio.sleep(0)
    sys.modules[providers].hanging.set()
    assert await asyncio.gather(*asked) == ["token 1", "token 1"]
    await asyncio.to_thread(thread.join)
    assert await provider.token() == "token 2"


def test_what_the_client_is_told_is_not_shown() -> None:
    assert "s3cret" not in repr(KafkaSettings(client={"sasl.password": "s3cret"}))


def test_the_readme_example_lacks_nothing_but_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section = README.read_text().partition("## Kafka with TLS and passwords")[2]
    monkeypatch.chdir(tmp_path)
    Path("penstock.toml").write_text(section.partition("```toml\n")[2].partition("```")[0])
    assert "sasl.password" not in settings.load().kafka.client
    monkeypatch.setenv("PENSTOCK_KAFKA__CLIENT__SASL_PASSWORD", "s3cret")
    kafka = settings.load().kafka
    with pytest.raises(ConfigurationError, match=r"/etc/kafka/ca\.pem: No such file"):
        client_arguments(kafka.bootstrap_servers, kafka.client)
    without = {n: value for n, value in kafka.client.items() if n != "ssl.ca.location"}
    assert client_arguments(kafka.bootstrap_servers, without)["sasl_plain_password"] == "s3cret"
