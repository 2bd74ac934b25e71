"""Who shows the token of an issuer, and is it his? Signed JWTs (RFC 7519), checked by the keys that
the issuer publishes (RFC 7517).
"""

import asyncio
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import aiohttp
import jwt
import orjson
import structlog

from penstock.clock import Clock
from penstock.gateway.caller import Caller, unknown
from penstock.gateway.problem import ProblemError
from penstock.settings import JwtSettings

AGAIN_SECONDS = 30.0
"""Between two requests to the issuer, whatever kind of tokens comes in."""

FRESH_SECONDS = 600.0
"""After which none of the keys counts before they were asked for anew, so that one he has withdrawn
does not. Where tokens come in, that is done beside them, in half of this time.
"""

FETCH_SECONDS = 5.0

LEEWAY_SECONDS = 10.0
"""By which his clock and ours may differ."""

KEYS_BYTES = 256 * 1024

ALGORITHMS: Sequence[tuple[str, str | None, Sequence[str]]] = (
    ("RSA", None, ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")),
    ("EC", "P-256", ("ES256",)),
    ("EC", "P-384", ("ES384",)),
    ("EC", "P-521", ("ES512",)),
    ("OKP", "Ed25519", ("EdDSA",)),
)
"""Of a key, by its type and curve. What is not here is not believed: `none`, and secrets that the
issuer would share with us (HS256 ...), as which a public key could be passed off.
"""

_WRONG: Mapping[type[Exception], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidIssuerError: "the token is of another issuer",
    jwt.InvalidAudienceError: "the token is meant for another audience",
    jwt.MissingRequiredClaimError: "the token lacks one of the claims iss, aud, exp and sub",
}

log = structlog.get_logger("penstock.gateway")


class _Key(NamedTuple):
    public: Any
    algorithms: Sequence[str]


class Issuer:
    """Args:
    settings: who he is.
    clock: of the process.
    """

    def __init__(self, settings: JwtSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._keys: Mapping[str | None, _Key] = {}
        self._fetched_at = self._tried_at = -math.inf
        self._fetching: asyncio.Task[None] | None = None
        self._away = False
        self._decoder = jwt.PyJWT({"enforce_minimum_key_length": True})

    async def caller(self, token: str) -> Caller:
        """Raises ProblemError: (401) it is not to be believed; (503) nobody can tell."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except jwt.PyJWTError:
            raise unknown("this is no token that is known here") from None
        key = await self._key(kid)
        return self._believed(self._claims(token, key))

    async def stop(self) -> None:
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    # --- the token --------------------------------------------------------------------------------

    def _claims(self, token: str, key: _Key) -> dict[str, Any]:
        try:
            return self._decoder.decode(
                token,
                key.public,
                algorithms=key.algorithms,
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["iss", "aud", "exp", "sub"]},
            )
        except jwt.PyJWTError as error:
            # What the library says may quote the token.
            raise unknown(_WRONG.get(type(error), "the token cannot be verified")) from None

    def _believed(self, claims: Mapping[str, Any]) -> Caller:
        """What is misspelt gives no rights."""
        named = self._settings.programs_claim
        programs = claims.get(named)
        if named in claims and not _names(programs):
            raise unknown(f"the token's claim {named} has to be a list of names")
        until = int(claims["exp"]) + LEEWAY_SECONDS
        return Caller(
            subject=f"{claims['iss']}|{claims['sub']}",
            programs=None if programs is None else frozenset(programs),
            operator=claims.get(self._settings.operator_claim) is True,
            holds=lambda: self._clock.wall() < until,
        )

    # --- the keys ---------------------------------------------------------------------------------

    async def _key(self, kid: Any) -> _Key:
        key = self._find(kid)
        age = self._clock.monotonic() - self._fetched_at
        if key is None or (age > FRESH_SECONDS and not self._away):
            fetching = self._fetch_soon()
            if fetching is not None:
                # It goes on for the others when this client goes away.
                await asyncio.shield(fetching)
            key = self._find(kid)
        elif age > FRESH_SECONDS / 2:
            self._fetch_soon()
        if key is not None:
            return key
        if self._away:
            raise ProblemError(
                503,
                "issuer_away",
                "the keys of the tokens' issuer cannot be read now",
                headers={"Retry-After": f"{AGAIN_SECONDS:.0f}"},
            )
        raise unknown("the token is signed by a key that its issuer does not publish")

    def _find(self, kid: Any) -> _Key | None:
        """Where the token names none, the issuer has only one."""
        if kid is None and len(self._keys) == 1:
            return next(iter(self._keys.values()))
        return self._keys.get(kid) if isinstance(kid, str) else None

    def _fetch_soon(self) -> "asyncio.Task[None] | None":
        """None: it was tried just now."""
        if self._fetching is not None and not self._fetching.done():
            return self._fetching
        now = self._clock.monotonic()
        if now - self._tried_at < AGAIN_SECONDS:
            return None
        self._tried_at = now
        self._fetching = asyncio.create_task(self._fetch())
        return self._fetching

    async def _fetch(self) -> None:
        try:
            self._keys = usable(await _downloaded(self._settings.jwks_url))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._away = True
            why = str(error) or type(error).__name__
            log.warning("the issuer's keys cannot be read", reason=why, known=len(self._keys))
        else:
            self._away = False
            self._fetched_at = self._clock.monotonic()


def usable(document: bytes) -> dict[str | None, _Key]:
    """The keys by their ids; those that are not for this, or nobody knows, are passed over.

    Raises:
        ValueError: there is none.
    """
    listed = orjson.loads(document)
    listed = listed.get("keys") if isinstance(listed, dict) else None
    found: dict[str | None, _Key] = {}
    for one in listed if isinstance(listed, list) else ():
        key = _key_of(one) if isinstance(one, dict) else None
        if key is not None:
            found[one.get("kid")] = key
    if not found:
        raise ValueError("it holds no key that can be used")
    return found


def _key_of(one: dict[str, Any]) -> _Key | None:
    algorithms = [
        name
        for kind, curve, names in ALGORITHMS
        for name in names
        if (one.get("kty"), one.get("crv")) == (kind, curve) and one.get("alg", name) == name
    ]
    usable = isinstance(one.get("kid"), str | None) and one.get("use", "sig") == "sig"
    # A private key in public is nobody's alone.
    if not algorithms or not usable or "d" in one:
        return None
    try:
        return _Key(jwt.PyJWK(one, algorithms[0]).key, algorithms)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


async def _downloaded(url: str) -> bytes:
    timeout = aiohttp.ClientTimeout(total=FETCH_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.get(url, allow_redirects=False) as response,
    ):
        if response.status != 200:  # noqa: PLR2004 - OK
            raise ValueError(f"status {response.status}")
        whole = await response.content.read(KEYS_BYTES + 1)
        while len(whole) <= KEYS_BYTES and (more := await response.content.readany()):
            whole += more
    if len(whole) > KEYS_BYTES:
        raise ValueError(f"it is larger than {KEYS_BYTES} bytes")
    return whole


def _names(said: Any) -> bool:
    return isinstance(said, list) and all(isinstance(name, str) for name in said)
