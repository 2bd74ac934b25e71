"""Which values are secrets? They are shown to nobody, and said by nobody.

By the type of a setting, by the names in what is open (`sasl.password`, `Authorization`), and by
the place in an address (`https://user:password@host/?api_key=...`).
"""

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit
from urllib.request import getproxies

from pydantic import BaseModel, SecretStr

from penstock.settings.names import Path, in_open
from penstock.settings.tree import Settings

HIDDEN = "**********"

SHORTEST = 8
"""Characters. What is shorter guards nothing, and would be found in the middle of words."""

_TELLING = re.compile(
    r"api_?key|auth|authorization|bearer|cookie|credentials?|headers?|jaas|key|pass(phrase|wd|word)?"
    r"|pem|pwd|secret|sig|signature|token"
)
_HARMLESS = {"location", "file", "path", "type"}
_WORDS = re.compile(r"[^a-zA-Z0-9]+")
_USER = re.compile(r"(?<=://)[^/?#@\s]+(?=@)")
_QUERY = re.compile(r"(?<=[?&])([^=&#\s]+)=([^&#\s]+)")


def is_secret(path: Path) -> bool:
    """By its name. `max_tokens` is none, nor is `ssl.key.location`."""
    return path[-1] == "api_key" or any(map(_tells, in_open(path)))


def shown(path: Path, value: Any) -> Any:
    """The value as anybody may see it: secrets hidden, and ready for JSON."""
    if isinstance(value, SecretStr) or (value is not None and is_secret(path)):
        return HIDDEN
    if isinstance(value, list | tuple):
        return [shown(path, one) for one in value]
    if isinstance(value, dict):
        return {name: shown((*path, name), one) for name, one in value.items()}
    if value is None or isinstance(value, bool | int | float):
        return value
    text = _USER.sub(HIDDEN, str(value))
    return _QUERY.sub(lambda f: f"{f[1]}={HIDDEN}" if _tells(f[1]) else f[0], text)


def hiding(settings: Settings) -> Callable[[str], str]:
    """What takes every secret out of a text, in whatever form it is met there.

    Our own words hold none. What libraries, providers and programs say may quote anything.
    """
    found = {t for t in _texts((), settings) if len(t) >= SHORTEST}
    for proxy in getproxies().values():
        found |= {t for t in _in_address(proxy) if len(t) >= SHORTEST}
    if not found:
        return str
    # The longest first: one may be the beginning of another.
    forms = sorted({form for text in found for form in _forms(text)}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, forms)))
    return lambda text: pattern.sub(HIDDEN, text)


def _forms(text: str) -> Iterator[str]:
    """As itself, in an address, and in what Python and JSON write of it."""
    in_bytes = repr(text.encode("utf-8", "replace"))[2:-1]
    for one in (text, in_bytes):
        yield from (one, quote(one, safe=""), json.dumps(one)[1:-1])


def _texts(path: Path, value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _texts((*path, name), getattr(value, name))
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts((*path, str(name)), one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _texts(path, one)
    elif isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, str) and is_secret(path):
        # `Bearer` and `Basic` say what follows.
        yield from (value, value.split()[-1] if value.strip() else "")
    elif isinstance(value, str) and "://" in value:
        yield from _in_address(value)


def _in_address(address: str) -> Iterator[str]:
    for user in _USER.findall(address):
        name, _, password = user.partition(":")
        yield from (user, password or name, unquote(password or name))
        # As it goes over the wire.
        yield base64.b64encode(unquote(user).encode()).decode()
    for name, value in parse_qsl(urlsplit(address).query):
        if _tells(name):
            yield value


def _tells(name: str) -> bool:
    words = _WORDS.split(name.lower())
    return any(map(_TELLING.fullmatch, words)) and _HARMLESS.isdisjoint(words)
