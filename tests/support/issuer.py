"""An issuer of tokens (JWT) that publishes its keys (JWKS) over HTTP, in this process.

async with issuer() as one:
    one.signed("k1", sub="ana")  # by a key that it has
    one.url                      # where its keys are
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

NAME, AUDIENCE = "https://issuer.example", "penstock"


@cache
def private(algorithm: str, number: int = 0) -> Any:
    """One of many keys for it; an RSA key takes a while to make."""
    if algorithm.startswith(("RS", "PS")):
        return rsa.generate_private_key(65537, 2048)
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    return ec.generate_private_key(curves[algorithm])


def published(kid: str | None, key: Any, **more: Any) -> dict[str, Any]:
    """As it stands in a set of keys."""
    kind = {
        rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm,
        ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm,
        ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm,
    }
    algorithm: Any = next(found for of, found in kind.items() if isinstance(key, of))
    one = algorithm.to_jwk(key.public_key(), as_dict=True)
    # PyJWT says what it is for as RFC 7517 has it, and some issuers do not.
    return {**one, **({} if kid is None else {"kid": kid}), **more}


def claims(**more: Any) -> dict[str, Any]:
    """Of a token that is good for a minute; None takes one away."""
    own = {"iss": NAME, "aud": AUDIENCE, "sub": "ana", "exp": int(time.time()) + 60}
    return {name: value for name, value in (own | more).items() if value is not None}


class Issuer:
    def __init__(self) -> None:
        self.keys: Mapping[str | None, tuple[str, Any]] = {"k1": ("RS256", private("RS256"))}
        """By their ids: the algorithm, and the private key."""
        self.url = ""
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None
        """What it sends instead of its keys."""
        self.may_answer = asyncio.Event()
        self.may_answer.set()

    def signed(self, kid: str | None = "k1", **more: Any) -> str:
        algorithm, key = self.keys[kid]
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(claims(**more), key, algorithm, headers=headers)

    async def answer(self, _: web.Request) -> web.Response:
        self.asked += 1
        await self.may_answer.wait()
        body = self._listed() if self.body is None else self.body
        return web.Response(body=body, status=self.status, headers={"Location": "/elsewhere"})

    async def elsewhere(self, _: web.Request) -> web.Response:
        return web.Response(body=self._listed())

    def _listed(self) -> bytes:
        listed = [published(kid, key) for kid, (_, key) in self.keys.items()]
        return json.dumps({"keys": listed}).encode()


@asynccontextmanager
async def issuer() -> AsyncIterator[Issuer]:
    """While the block runs."""
    one = Issuer()
    app = web.Application()
    app.router.add_get("/keys", one.answer)
    app.router.add_get("/elsewhere", one.elsewhere)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        one.url = f"http://127.0.0.1:{runner.addresses[0][1]}/keys"
        yield one
    finally:
        one.may_answer.set()
        await runner.cleanup()
