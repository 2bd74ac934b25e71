"""Whom do we trust, and who are we? A TLS context from PEM files, which follows them.

A client has one context for all its connections, and the event loop asks it for every new one. So
there is no timer: when a connection is made and a file has changed since, the context is built
anew. What cannot be used yet, such as a certificate whose key is still to come, changes nothing.
"""

import contextlib
import re
import ssl
import tempfile
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import structlog
from cryptography import x509

from penstock.clock import Clock
from penstock.errors import ConfigurationError

_CHECKS = "ssl.endpoint.identification.algorithm"
_KEY_PASSWORD = "ssl.key.password"  # noqa: S105 - the name of one
_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_NOT_BASE64 = re.compile(r"\\n|\s")

log = structlog.get_logger("penstock.kafka")

Stamp = tuple[tuple[int, int, int] | None, ...]
"""Of every file when it was written, how long it is and which one; None where there is none."""


def context(client: Mapping[str, str]) -> ssl.SSLContext:
    """By the names that begin with `ssl.`.

    Raises:
        ConfigurationError: on one line, which file or name, and what is wrong with it.
    """
    return _Following(client)


class _Following(ssl.SSLContext):
    """Hands on to the context of the files as they are now."""

    def __new__(cls, *_: object) -> Self:
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, client: Mapping[str, str]) -> None:
        self.said = client
        self._files = [Path(client[name]) for name in client if name.endswith(".location")]
        # Before reading: what is written meanwhile is noticed next time.
        self._stamp = self._look()
        self._context = _built(client)
        self._unusable: Stamp | None = None

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        if (stamp := self._look()) != self._stamp:
            files = [str(file) for file in self._files]
            try:
                self._context = _built(self.said)
            except ConfigurationError as error:
                # Tried again next time, told once: in a moment it may be valid.
                if stamp != self._unusable:
                    self._unusable = stamp
                    log.warning(
                        "certificates have changed and cannot be used; the last ones are kept",
                        reason=str(error),
                    )
            else:
                self._stamp = stamp
                log.info("certificates have changed; new connections use them", files=files)
        return self._context.wrap_bio(*arguments, **named)

    def _look(self) -> Stamp:
        return tuple(map(_stamp, self._files))


def _stamp(file: Path) -> tuple[int, int, int] | None:
    try:
        now = file.stat()
    except OSError:
        return None
    return now.st_mtime_ns, now.st_size, now.st_ino


@dataclass(frozen=True, slots=True, repr=False)
class _Pem:
    """`place`: where it stands, for messages; `path`: its file, where it is in one."""

    place: str
    text: bytes
    path: Path | None


def _built(client: Mapping[str, str]) -> ssl.SSLContext:
    checks = client.get(_CHECKS, "https").lower()
    if checks not in {"https", "none"}:
        raise ConfigurationError(f"{_CHECKS} {checks!r} is none of https, none")
    now = datetime.fromtimestamp(Clock().wall(), UTC)
    built = _trusting(client, now)
    built.check_hostname = checks == "https"
    # The same in every Python, and as Kafka's own clients: whatever is in `ssl.ca` is trusted, an
    # intermediate too, and the CA that a company made itself need not have all of RFC 5280.
    built.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    built.verify_flags &= ~ssl.VERIFY_X509_STRICT
    certificate, key = _pem(client, "ssl.certificate"), _pem(client, "ssl.key")
    if certificate is not None:
        _check_dates(certificate, _certificates(certificate)[:1], now)
        _show(built, certificate, key, client.get(_KEY_PASSWORD))
    elif key is not None:
        raise ConfigurationError(f"{key.place} is of no use without ssl.certificate.location")
    return built


def _trusting(client: Mapping[str, str], now: datetime) -> ssl.SSLContext:
    """Whoever a CA of ours has signed; without one, whom the system trusts."""
    folder = client.get("ssl.ca.location")
    if folder is not None and Path(folder).is_dir():
        return ssl.create_default_context(capath=folder)
    if (ca := _pem(client, "ssl.ca")) is None:
        return ssl.create_default_context()
    found = _certificates(ca)
    # In a bundle one may well have had its day.
    if all(one.not_valid_after_utc < now for one in found):
        _check_dates(ca, found[:1], now)
    # What is not ASCII is a comment, such as the name of a CA, of which Python takes none.
    return ssl.create_default_context(cadata=ca.text.decode("ascii", errors="ignore"))


def _pem(client: Mapping[str, str], name: str) -> _Pem | None:
    """What `<name>.location` or `<name>.pem` says."""
    location, text = f"{name}.location", f"{name}.pem"
    if location in client and text in client:
        raise ConfigurationError(f"{location} and {text} say the same: set one of them")
    if text in client:
        return _Pem(text, _lines(client[text]).encode(), None)
    if location not in client:
        return None
    path = Path(client[location])
    try:
        return _Pem(f"{location} {path}", path.read_bytes(), path)
    except OSError as error:
        raise ConfigurationError(f"{location} {path}: {error.strerror}") from error


def _lines(text: str) -> str:
    """As in a file: an environment variable, or a line of a Java file, may lack the line ends."""
    return "".join(
        f"-----BEGIN {what}-----\n{body if ':' in body else _wrapped(body)}\n-----END {what}-----\n"
        for what, body in _BLOCK.findall(text)
    )


def _wrapped(body: str) -> str:
    return "\n".join(textwrap.wrap(_NOT_BASE64.sub("", body), 64))


def _certificates(pem: _Pem) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(pem.text)
    except ValueError as error:
        raise ConfigurationError(f"{pem.place}: there is no certificate in it (PEM)") from error


def _check_dates(pem: _Pem, certificates: list[x509.Certificate], now: datetime) -> None:
    for one in certificates:
        if one.not_valid_after_utc < now:
            raise ConfigurationError(f"{pem.place}: expired at {one.not_valid_after_utc:%F %T} UTC")
        if one.not_valid_before_utc > now:
            raise ConfigurationError(
                f"{pem.place}: is not valid before {one.not_valid_before_utc:%F %T} UTC"
            )


def _show(built: ssl.SSLContext, certificate: _Pem, key: _Pem | None, password: str | None) -> None:
    """Whoever asks who we are gets this certificate; the key may be in its file."""
    asked = False

    def tell() -> str:
        # Without an answer, OpenSSL would ask on the terminal.
        nonlocal asked
        asked = True
        return password or ""

    keys = key or certificate
    with contextlib.ExitStack() as files:
        try:
            built.load_cert_chain(
                files.enter_context(_file(certificate)), files.enter_context(_file(keys)), tell
            )
        except ssl.SSLError as error:
            if asked:
                what = f"{_KEY_PASSWORD} is wrong" if password else f"needs {_KEY_PASSWORD}"
            elif error.reason == "KEY_VALUES_MISMATCH":
                what = f"it is not the key of {certificate.place}"
            else:
                what = "there is no private key in it (PEM)"
                if key is None:
                    what += ", and ssl.key.location is not set"
            raise ConfigurationError(f"{keys.place}: {what}") from error
        except OSError as error:
            # Text, where there is no folder for temporary files.
            raise ConfigurationError(f"{keys.place}: no file can be made of it: {error}") from error


@contextlib.contextmanager
def _file(pem: _Pem) -> Iterator[Path]:
    """OpenSSL reads keys from files alone: one of our own for a moment, which nobody else reads."""
    if pem.path is not None:
        yield pem.path
        return
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        path = Path(folder, "pem")
        path.touch(mode=0o600)
        path.write_bytes(pem.text)
        yield path
