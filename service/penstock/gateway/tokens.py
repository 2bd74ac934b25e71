"""Which bearer tokens are known, and what may who shows one? A TOML file says it, by their hashes.

A token is 256 random bits, so that nobody guesses what gives a hash, and a plain SHA-256 guards it
as well as a slow hash guards a password; it is computed for every request.
"""

import hashlib
import hmac
import re
import secrets
import tomllib
from pathlib import Path
from typing import Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from penstock.errors import ConfigurationError

PREFIX = "pst_"
"""By which people, and scanners of repositories, know a token when they see one."""

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
"""Of a token: a bare key of TOML."""

LOOK_SECONDS = 2.0
"""How often it is looked whether the file has changed."""

log = structlog.get_logger("penstock.gateway")


class Grant(BaseModel):
    """What the file says of one token: a table, by the name of who has it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    programs: list[str] | None = None
    """That may be asked; None: all."""
    requests_per_minute: Annotated[int, Field(gt=0)] | None = None
    operator: bool = False


_TABLES = TypeAdapter(dict[str, Grant])


def new_token() -> str:
    """Nobody else has it."""
    return PREFIX + secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def read(text: str) -> dict[bytes, tuple[str, Grant]]:
    """Raises ValueError: it says what is wrong, without what stands there."""
    try:
        tables = _TABLES.validate_python(tomllib.loads(text))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    found: dict[bytes, tuple[str, Grant]] = {}
    for name, grant in tables.items():
        if not NAME.fullmatch(name):
            raise ValueError(f"{name!r}: a name has 1 to 64 letters, digits, _ and -")
        hashed = bytes.fromhex(grant.sha256)
        if hashed in found:
            raise ValueError(f"{name} and {found[hashed][0]} have the same token")
        found[hashed] = (name, grant)
    return found


class TokenFile:
    """Read again when it has changed, so that tokens come and go without a restart.

    Raises:
        ConfigurationError: it cannot be read, or is wrong. Later that is logged, and what it said
            before stands.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._look_at = 0.0
        self._seen = self._stamp()
        try:
            self._known = self._read()
        except ValueError as error:
            raise ConfigurationError(f"setting GATEWAY__TOKENS: {error}") from error

    def find(self, hashed: bytes, now: float) -> tuple[str, Grant] | None:
        """By the token's digest: the name of who has it, and what he may."""
        if now >= self._look_at:
            self._look_at = now + LOOK_SECONDS
            self._look()
        found = None
        # All of them: how long it takes says nothing of what is in the file.
        for known, grant in self._known.items():
            if hmac.compare_digest(known, hashed):
                found = grant
        return found

    def _look(self) -> None:
        stamp = self._stamp()
        if stamp == self._seen:
            return
        self._seen = stamp
        try:
            self._known = self._read()
        except ValueError as error:
            log.error("the tokens cannot be read; those of before stand", reason=str(error))  # noqa: TRY400 - the reason is all
        else:
            log.info("the tokens have changed", tokens=len(self._known))

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            there = self._path.stat()
        except OSError:
            return None
        return there.st_mtime_ns, there.st_size, there.st_ino

    def _read(self) -> dict[bytes, tuple[str, Grant]]:
        try:
            return read(self._path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{self._path}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"{self._path}: {error}") from error
