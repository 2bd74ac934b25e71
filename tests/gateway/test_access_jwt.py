"""Tokens of an issuer, really signed, checked by the keys that it really publishes."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from penstock import settings
from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.gateway import jwks
from penstock.gateway.caller import Caller
from penstock.gateway.jwks import AGAIN_SECONDS, FRESH_SECONDS, KEYS_BYTES, LEEWAY_SECONDS, usable
from penstock.gateway.problem import ProblemError
from tests.support.doors import doors
from tests.support.issuer import AUDIENCE, NAME, Issuer, claims, issuer, private, published

LARGE = json.dumps({"keys": [published("k1", private("RS256"))]}).encode().ljust(KEYS_BYTES + 1)


class _Gate:
    """Who is let in by an issuer, by a monotonic clock that is moved by hand."""

    def __init__(self, one: Issuer) -> None:
        self.now = 1_000.0
        self.ahead = 0.0
        told = settings.of_project(
            gateway={"jwt": {"jwks_url": one.url, "issuer": NAME, "audience": AUDIENCE}}
        )
        assert told.gateway.jwt is not None
        self.issuer = jwks.Issuer(
            told.gateway.jwt, Clock(lambda: self.now, lambda: time.time() + self.ahead)
        )

    async def caller(self, token: str) -> Caller:
        return await self.issuer.caller(token)

    async def refuses(self, token: str, status: int = 401) -> ProblemError:
        with pytest.raises(ProblemError) as raised:
            await self.issuer.caller(token)
        assert raised.value.status == status, raised.value.detail
        assert token not in str(raised.value.document) + str(raised.value.headers)
        return raised.value


@asynccontextmanager
async def gate() -> AsyncIterator[tuple[_Gate, Issuer]]:
    async with issuer() as one:
        found = _Gate(one)
        try:
            yield found, one
        finally:
            await found.issuer.stop()


async def test_a_signed_token_is_who_its_claims_say() -> None:
    async with gate() as (here, one):
        assert await here.caller(one.signed()) == Caller(subject=f"{NAME}|ana")
        more: dict[str, Any] = {
            "penstock_programs": ["qa"],
            "penstock_operator": True,
            "aud": ["a", AUDIENCE],
        }
        assert await here.caller(one.signed(**more)) == Caller(
            f"{NAME}|ana", frozenset({"qa"}), operator=True
        )
        # What is not exactly true is not true.
        assert not (await here.caller(one.signed(penstock_operator="true"))).operator
        assert (await here.caller(one.signed(penstock_programs=[]))).programs == frozenset()
        assert one.asked == 1


@pytest.mark.parametrize(
    "algorithm",
    ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"],
)
async def test_by_every_algorithm_that_keeps_the_secret_with_the_issuer(algorithm: str) -> None:
    async with gate() as (here, one):
        one.keys = {"k1": (algorithm, private(algorithm))}
        assert (await here.caller(one.signed())).subject == f"{NAME}|ana"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"exp": 1}, "expired"),
        ({"nbf": 10**11}, "not valid yet"),
        ({"aud": "another"}, "another audience"),
        ({"aud": ["another"]}, "another audience"),
        ({"iss": "https://issuer.example.evil"}, "another issuer"),
        ({"iss": [NAME]}, "another issuer"),
        ({"aud": None}, "lacks one of the claims"),
        ({"iss": None}, "lacks one of the claims"),
        ({"exp": None}, "lacks one of the claims"),
        ({"sub": None}, "lacks one of the claims"),
        ({"sub": 7}, "cannot be verified"),
        ({"exp": "soon"}, "cannot be verified"),
        ({"exp": float("inf")}, "cannot be verified"),
        ({"exp": []}, "cannot be verified"),
        ({"penstock_programs": "qa"}, "has to be a list"),
        ({"penstock_programs": [1]}, "has to be a list"),
    ],
)
async def test_claims_that_are_wrong(wrong: dict[str, Any], says: str) -> None:
    async with gate() as (here, _):
        # PyJWT does not write all that others may.
        token = _written({"alg": "RS256", "kid": "k1"}, claims(**wrong), private("RS256"))
        assert says in (await here.refuses(token)).detail


async def test_a_claim_that_is_null_gives_no_rights() -> None:
    async with gate() as (here, _):
        told = claims() | {"penstock_programs": None}
        token = _written({"alg": "RS256", "kid": "k1"}, told, private("RS256"))
        assert "has to be a list" in (await here.refuses(token)).detail


async def test_what_is_signed_by_nobody_or_by_what_everybody_knows() -> None:
    key = private("RS256")
    public = key.public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    der = public.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    async with gate() as (here, one):
        whole = one.signed()
        head, body, signature = whole.split(".")
        tokens = [
            *(_part({"alg": none, "kid": "k1"}) + f".{body}." for none in ("none", "None", "")),
            _part({"alg": "none", "kid": "k1"}) + f".{body}.{signature}",
            _part({"kid": "k1"}) + f".{body}.{signature}",
            # A public key, taken for a secret.
            *(_hmac(secret, name) for secret in (pem, der) for name in ("HS256", "HS512")),
            jwt.encode(claims(), private("RS256", 1), "RS256", headers={"kid": "k1"}),
            jwt.encode(claims(), private("ES256"), "ES256", headers={"kid": "k1"}),
            f"{head}.{_part(claims(sub='eve'))}.{signature}",
            f"{head}.{body}.{signature[:-6]}AAAAAA",
            f"{head}.{body}.",
        ]
        for token in tokens:
            await here.refuses(token)
        assert (await here.caller(whole)).subject


@pytest.mark.parametrize(
    "token",
    [
        "..",
        "a.b.c",
        "eyJ.eyJ.eyJ",
        base64.urlsafe_b64encode(b"[" * 9_000).decode() + ".e30.e30",
        base64.urlsafe_b64encode(b"\xff").decode() + ".e30.e30",
        base64.urlsafe_b64encode(b"[]").decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":"RS256","kid":{}}').decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":["RS256"],"kid":"k1"}').decode() + ".e30.e30",
        base64.urlsafe_b64encode(b'{"alg":"RS256","kid":"k1","crit":["x"]}').decode() + ".e30.e30",
    ],
    ids=lambda token: token[:30],
)
async def test_what_is_no_token_at_all(token: str) -> None:
    async with gate() as (here, _):
        await here.refuses(token)


# --- the keys -------------------------------------------------------------------------------------


async def test_a_new_key_is_fetched_and_one_that_nobody_has_not_again_and_again() -> None:
    async with gate() as (here, one):
        old = one.signed()
        await here.caller(old)
        one.keys = {"k2": ("ES256", private("ES256"))}
        new = one.signed("k2")
        detail = (await here.refuses(new)).detail
        assert "does not publish" in detail
        here.now += AGAIN_SECONDS
        assert (await here.caller(new)).subject == f"{NAME}|ana"
        await here.refuses(old)
        for number in range(50):
            await here.refuses(
                jwt.encode(
                    claims(), private("RS256"), headers={"kid": str(number)}, algorithm="RS256"
                )
            )
        assert one.asked == 2


async def test_many_at_once_are_one_request() -> None:
    async with gate() as (here, one):
        one.may_answer.clear()
        waiting = [asyncio.create_task(here.caller(one.signed(sub=str(n)))) for n in range(20)]
        await asyncio.sleep(0)
        # Who goes away takes nothing from the others.
        waiting[0].cancel()
        one.may_answer.set()
        found = await asyncio.gather(*waiting, return_exceptions=True)
        assert isinstance(found[0], asyncio.CancelledError)
        assert {caller.subject for caller in found[1:] if isinstance(caller, Caller)} == {
            f"{NAME}|{n}" for n in range(1, 20)
        }
        assert one.asked == 1


async def test_a_key_that_is_withdrawn_counts_no_more_after_a_while() -> None:
    async with gate() as (here, one):
        old = one.signed()
        await here.caller(old)
        one.keys = {"k2": ("ES256", private("ES256"))}
        here.now += FRESH_SECONDS / 2
        await here.caller(old)
        assert one.asked == 1
        here.now += 1
        # It is fetched beside, and nobody waits for it.
        one.may_answer.clear()
        await here.caller(old)
        one.may_answer.set()
        assert here.issuer._fetching is not None
        await here.issuer._fetching
        await here.refuses(old)

        # Nor does it count for whoever comes first after a long silence.
        new = one.signed("k2")
        await here.caller(new)
        one.keys = {"k3": ("ES256", private("ES256"))}
        here.now += 10 * FRESH_SECONDS
        await here.refuses(new)
        # With an issuer who is away what is known goes on, and is not waited for again.
        newest = one.signed("k3")
        one.status = 500
        here.now += 10 * FRESH_SECONDS
        await here.caller(newest)
        one.may_answer.clear()
        here.now += AGAIN_SECONDS
        await here.caller(newest)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, None),
        (404, b"{}"),
        (302, None),
        (200, b"<html>"),
        (200, b"{}"),
        (200, b"[]"),
        (200, b'{"keys": []}'),
        (200, b'{"keys": [{"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}]}'),
        (200, LARGE),
    ],
)
async def test_an_issuer_that_is_away(status: int, body: bytes | None) -> None:
    async with gate() as (here, one):
        one.status, one.body = status, body
        token = one.signed()
        error = await here.refuses(token, 503)
        assert (error.code, error.headers["Retry-After"]) == ("issuer_away", "30")
        await here.refuses(token, 503)
        assert one.asked == 1
        one.status, one.body = 200, None
        here.now += AGAIN_SECONDS
        assert (await here.caller(token)).subject
        # The keys that are known go on; of others nobody can tell.
        one.status, one.body = status, body
        here.now += 10 * FRESH_SECONDS
        for _ in range(2):
            assert (await here.caller(token)).subject
            assert here.issuer._fetching is not None
            await here.issuer._fetching
        one.keys = {"k2": ("ES256", private("ES256"))}
        here.now += AGAIN_SECONDS
        await here.refuses(one.signed("k2"), 503)


async def test_an_issuer_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 0.05)
    async with gate() as (here, one):
        one.may_answer.clear()
        await here.refuses(one.signed(), 503)
    async with gate() as (here, one):
        one.url = "http://127.0.0.1:1/keys"
        other = _Gate(one)
        await other.refuses(one.signed(), 503)


def test_which_keys_can_be_used() -> None:
    rsa_key, edge = published("rsa", private("RS256")), private("ES256")
    secret = jwt.algorithms.RSAAlgorithm.to_jwk(private("RS256"), as_dict=True)
    small = rsa.generate_private_key(65537, 1024)
    listed: list[Any] = [
        rsa_key,
        published("fixed", private("RS256"), alg="PS256"),
        published("ed", private("EdDSA"), use="sig"),
        published("curve", edge),
        published("small", small),
        # For another purpose, of another kind, or nobody's alone.
        published("enc", private("RS256"), use="enc"),
        published("hmac", private("RS256"), alg="HS256"),
        published("other", edge, crv="secp256k1"),
        {"kty": "oct", "kid": "oct", "k": "c2VjcmV0"},
        {"kty": ["RSA"], "kid": "list", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "kid": "broken", "n": 1, "e": "AQAB"},
        {"kty": "RSA", "kid": "empty"},
        {**secret, "kid": "private"},
        {**rsa_key, "kid": 7},
        "RSA",
        None,
    ]
    found = usable(json.dumps({"keys": listed}).encode())
    assert set(found) == {"rsa", "fixed", "ed", "curve", "small"}
    assert list(found["fixed"].algorithms) == ["PS256"]
    assert list(found["curve"].algorithms) == ["ES256"]
    assert {name[:2] for name in found["rsa"].algorithms} == {"RS", "PS"}


async def test_a_key_that_is_too_short_to_be_anybodys_alone() -> None:
    async with gate() as (here, one):
        one.keys = {"k1": ("RS256", rsa.generate_private_key(65537, 1024))}
        token = _written({"alg": "RS256", "kid": "k1"}, claims(), one.keys["k1"][1])
        await here.refuses(token)


async def test_a_token_without_the_name_of_its_key() -> None:
    async with gate() as (here, one):
        key = one.keys["k1"]
        one.keys = {None: key}
        assert (await here.caller(one.signed(None))).subject
    async with gate() as (here, one):
        one.keys = {None: key, "k1": key}
        await here.caller(one.signed("k1"))
        assert (await here.caller(one.signed("k1"))).subject
        await here.refuses(one.signed(None))


# --- over HTTP ------------------------------------------------------------------------------------


async def test_over_http_and_until_it_expires() -> None:
    async with issuer() as one:
        wall = time.time()
        clock = Clock(lambda: 0.0, lambda: wall)
        told = {"jwks_url": one.url, "issuer": NAME, "audience": AUDIENCE}
        with structlog.testing.capture_logs() as logs:
            async with doors(clock, jwt=told, requests_per_minute=2) as there:
                token = one.signed(penstock_programs=["qa"])
                headers = {"Authorization": f"Bearer {token}"}
                response = await there.client.post("/ask", json={}, headers=headers)
                who = {"subject": f"{NAME}|ana", "programs": ["qa"], "operator": False}
                assert response.json() == who
                # Each of its tokens is the same subject.
                other = {"Authorization": f"Bearer {one.signed(jti='2')}"}
                said = [
                    (await there.client.post("/ask", json={}, headers=h)).status_code
                    for h in (other, headers)
                ]
                assert said == [200, 429]
                assert (await there.client.get("/read")).status_code == 401
                response = await there.client.get(
                    "/read", headers={"Authorization": f"Bearer {one.signed(exp=1)}"}
                )
                assert response.status_code == 401
                assert (
                    'error_description="the token has expired"'
                    in (response.headers["www-authenticate"])
                )
        assert token not in str(logs)
        here = _Gate(one)
        found = await here.caller(token)
        assert found.holds()
        here.ahead = 60 + LEEWAY_SECONDS
        assert not found.holds()


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("https://issuer.example/keys", True),
        ("http://127.0.0.1:8000/keys", True),
        ("http://localhost/keys", True),
        ("http://issuer.example/keys", False),
        ("file:///etc/keys", False),
        ("issuer.example/keys", False),
        ("https:///keys", False),
    ],
)
def test_keys_come_from_whom_they_should(url: str, right: bool) -> None:
    told = {"jwt": {"jwks_url": url, "issuer": NAME, "audience": AUDIENCE}}
    if right:
        assert settings.of_project(gateway=told).gateway.jwt is not None
        return
    with pytest.raises(ConfigurationError, match="GATEWAY__JWT__JWKS_URL"):
        settings.of_project(gateway=told)


def _part(said: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(said).encode()).decode().rstrip("=")


def _written(head: dict[str, Any], told: dict[str, Any], key: Any) -> str:
    """Signed, whatever it says."""
    signing = f"{_part(head)}.{_part(told)}"
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(
        signing.encode(), key
    )
    return f"{signing}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


def _hmac(secret: bytes, algorithm: str) -> str:
    """PyJWT refuses to make one with a public key."""
    known = jwt.algorithms.get_default_algorithms()[algorithm]
    signing = f"{_part({'alg': algorithm, 'kid': 'k1'})}.{_part(claims())}"
    signature = known.sign(signing.encode(), secret)
    return f"{signing}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"
