"""What does no setting know alone?"""

import re
from collections.abc import Iterator
from urllib.parse import urlsplit

from penstock.settings.tree import GatewaySettings, Settings

_HOST = r"(\[[0-9a-fA-F:.%]+\]|[^\s@/:,]+)(:[0-9]+)?"
_ORIGIN = re.compile(r"https?://(\[[0-9a-f:.]+\]|[^\sA-Z@/?#:\[\]*,]+)(:[0-9]+)?")
_HOSTS = re.compile(rf"\s*{_HOST}\s*(,\s*{_HOST}\s*)*,?\s*")


def broken(settings: Settings) -> Iterator[str]:
    """What is wrong, and which setting to change."""
    topics = settings.topics
    five = (
        topics.questions,
        topics.tokens,
        topics.completions,
        topics.dead_letters,
        topics.control,
    )
    if len(set(five)) < len(five):
        yield f"setting TOPICS: five different topics, not {', '.join(five)}"
    if settings.deadline.default_ms > settings.deadline.max_ms:
        yield "setting DEADLINE__DEFAULT_MS must not exceed DEADLINE__MAX_MS"
    if settings.model is not None and "default" in settings.models:
        yield "settings MODEL and MODELS__DEFAULT are the same; set one of them"
    if settings.retry.base_ms > settings.retry.cap_ms:
        yield "setting RETRY__BASE_MS must not exceed RETRY__CAP_MS"
    if settings.intake.low >= settings.intake.high:
        yield "setting INTAKE__LOW must be below INTAKE__HIGH"
    if not settings.programs:
        yield "setting PROGRAMS is empty: name a program to run"
    default = settings.default_program
    if default is not None and settings.programs and default not in settings.programs:
        yield (
            f"setting DEFAULT_PROGRAM: {default!r} is none of PROGRAMS "
            f"({', '.join(settings.programs)})"
        )
    yield from _addresses(settings)
    yield from _gateway(settings.gateway)


def _addresses(settings: Settings) -> Iterator[str]:
    if not _HOSTS.fullmatch(settings.kafka.bootstrap_servers):
        # Not quoted: whoever writes it as a URL may have put a password into it.
        yield "setting KAFKA__BOOTSTRAP_SERVERS is not host:port[,host:port]"
    for name, model in settings.all_models.items():
        address = urlsplit(model.api_base or "")
        if model.api_base and address.scheme not in {"http", "https"}:
            yield f"setting API_BASE of model {name!r} does not begin with http:// or https://"
            continue
        if model.engine != "litellm" and (address.username or address.query):
            # Each request has its own path to add, and its key in the header they would need.
            yield (
                f"setting API_BASE of model {name!r}: an address alone, without user, password or "
                "query; what the endpoint asks for is the API_KEY"
            )


def _gateway(settings: GatewaySettings) -> Iterator[str]:
    for origin in settings.origins:
        if not _ORIGIN.fullmatch(origin):
            yield (
                f"setting GATEWAY__ORIGINS: {origin!r} is no origin; write scheme://host[:port], "
                "in small letters and without a path"
            )
    if settings.jwt is not None:
        url = urlsplit(settings.jwt.jwks_url)
        here = url.hostname in {"localhost", "127.0.0.1", "::1"}
        if not url.hostname or (url.scheme != "https" and not (url.scheme == "http" and here)):
            yield (
                "setting GATEWAY__JWT__JWKS_URL has to begin with https://: who answers in the "
                "issuer's place makes tokens"
            )
