"""Which values are secrets, and in which forms they are taken out of a text."""

import base64
import json
from typing import Any
from urllib.parse import quote

import pytest

from penstock.settings import ModelSettings, Settings
from penstock.settings.secrets import HIDDEN, hiding, is_secret, shown
from penstock.settings.tree import KafkaSettings

AWKWARD = 'pa"ss\\wörd/1'


@pytest.mark.parametrize(
    "name",
    [
        "sasl.password",
        "sasl_password",
        "ssl.key.password",
        "ssl.key.pem",
        "ssl.keystore.password",
        "ssl.keystore.key",
        "sasl.jaas.config",
        "sasl.oauthbearer.client.secret",
    ],
)
def test_what_is_secret_of_the_client(name: str) -> None:
    assert is_secret(("kafka", "client", name))


@pytest.mark.parametrize(
    "name",
    [
        "security.protocol",
        "sasl.username",
        "sasl.mechanism",
        "sasl.oauth.provider",
        "ssl.key.location",
        "ssl.ca.location",
        "ssl.truststore.type",
    ],
)
def test_what_is_not(name: str) -> None:
    assert not is_secret(("kafka", "client", name))


@pytest.mark.parametrize(
    ("option", "hidden"),
    [
        ("api_key", True),
        ("Authorization", True),
        ("extra_headers", True),
        ("aws_secret_access_key", True),
        ("aws_session_token", True),
        ("max_tokens", False),
        ("temperature", False),
        ("top_logprobs", False),
    ],
)
def test_what_is_secret_of_a_model_s_options(option: str, hidden: bool) -> None:
    for model in (("model",), ("models", "large")):
        assert is_secret((*model, "options", option)) is hidden


@pytest.mark.parametrize(
    ("value", "as_shown"),
    [
        ("http://host/v1", "http://host/v1"),
        ("https://me:word@host/v1", f"https://{HIDDEN}@host/v1"),
        ("https://token@host", f"https://{HIDDEN}@host"),
        ("https://host/?v=1&api-key=x#top", f"https://host/?v=1&api-key={HIDDEN}#top"),
        ("broker:9092,other:9092", "broker:9092,other:9092"),
        (("https://me:word@host",), [f"https://{HIDDEN}@host"]),
        ({"a": 1, "token": "x"}, {"a": 1, "token": HIDDEN}),
        (5, 5),
        (None, None),
    ],
)
def test_what_is_shown_of_a_value(value: Any, as_shown: Any) -> None:
    assert shown(("model", "options", "stop"), value) == as_shown


def test_a_secret_is_hidden_in_each_of_its_forms() -> None:
    hide = hiding(
        Settings(
            kafka=KafkaSettings(client={"sasl.password": AWKWARD}),
            model=ModelSettings(
                name="a/b",
                api_base=f"https://me:{quote(AWKWARD, safe='')}x@host",
                options={"Authorization": "Bearer abcdefghijkl", "max_tokens": 12345678},
            ),
        )
    )
    user = base64.b64encode(f"me:{AWKWARD}x".encode()).decode()
    for form in (
        AWKWARD,
        repr(AWKWARD.encode())[2:-1],
        json.dumps(AWKWARD)[1:-1],
        json.dumps(repr(AWKWARD.encode())[2:-1])[1:-1],
        quote(AWKWARD, safe=""),
        "Bearer abcdefghijkl",
        "abcdefghijkl",
        user,
    ):
        assert hide(f"before {form} after") in {
            f"before {HIDDEN} after",
            # Of two that are alike, the one within the other.
            f"before {HIDDEN}x after",
        }
    assert hide("12345678 tokens") == "12345678 tokens"


def test_what_is_too_short_to_guard_anything_is_left() -> None:
    hide = hiding(Settings(model=ModelSettings(name="a/b", api_key="none")))
    assert hide("nonetheless") == "nonetheless"
