"""Which failure of a connection is this? aiohttp's exceptions to the errors an engine raises.

The first row that fits decides. Nothing says what was sent: no header, so no key.
"""

import aiohttp
from dspy.lm15 import LM15Error, TransportError

_TABLE: tuple[tuple[type[Exception], str], ...] = (
    (aiohttp.ClientConnectorDNSError, "the model's host cannot be resolved"),
    (aiohttp.ClientConnectorCertificateError, "the model's certificate is not trusted"),
    (aiohttp.ClientSSLError, "no TLS connection to the model"),
    (aiohttp.ClientProxyConnectionError, "no connection to the proxy"),
    (aiohttp.ClientHttpProxyError, "the proxy refused"),
    (aiohttp.ClientConnectorError, "no connection to the model"),
    (aiohttp.ServerDisconnectedError, "the model closed the connection without an answer"),
    (aiohttp.ClientPayloadError, "the connection was lost midway"),
    (aiohttp.ClientOSError, "the connection was lost"),
    (aiohttp.ClientResponseError, "what came back is not HTTP"),
    (aiohttp.ClientError, "the connection failed"),
    (OSError, "the connection failed"),
)

CONNECTION_FAILURES = (aiohttp.ClientError, OSError)


def connection_error(error: Exception) -> LM15Error:
    said = next(said for kind, said in _TABLE if isinstance(error, kind))
    detail = _detail(error)
    return TransportError(f"{said}: {detail}" if detail else said)


def _detail(error: Exception) -> str:
    """Where to, and what the system says."""
    if isinstance(error, aiohttp.ClientConnectorError):
        return f"{error.host}:{error.port}: {error.os_error.strerror or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"{error.host}:{error.port}: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"
    if isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError):
        return ""
    return getattr(error, "strerror", None) or type(error).__name__
