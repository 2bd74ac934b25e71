"""How does another Python program ask? Over Kafka or over HTTP, in the same way.

    async with connect("localhost:9092") as client:  # or "http://localhost:8080"
        async for event in client.stream("Why is the sky blue?"):
            ...  # Token, Restart, Progress, End, and last the Completion
        completion = await client.ask("And at night?", timeout_ms=30_000)

One client asks any number of questions at the same time. `penstock.events.texts.Texts` folds the
events into the text of each field.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from penstock.client.asking import Client
from penstock.client.batch import Asked, Outcome
from penstock.events.said import Event

if TYPE_CHECKING:
    from penstock.client.http import HttpClient
    from penstock.client.kafka import KafkaClient
    from penstock.client.text_socket import TextSocket

__all__ = [
    "Asked",
    "Client",
    "Event",
    "HttpClient",
    "KafkaClient",
    "Outcome",
    "TextSocket",
    "connect",
]


def connect(address: str, **options: Any) -> Client:
    """A client for `async with`.

    Args:
        address: of a gateway, `http://` or `https://`; or of Kafka's brokers, host:port with
            commas between.
        **options: of `HttpClient` or of `KafkaClient`.

    Raises:
        ConfigurationError: the address or an option cannot work.
    """
    over_http = address.startswith(("http://", "https://"))
    way: Callable[..., Client] = __getattr__("HttpClient" if over_http else "KafkaClient")
    return way(address, **options)


# Kafka's client and HTTP's take a while to import, and few need both.
def __getattr__(name: str) -> Any:
    match name:
        case "HttpClient":
            from penstock.client.http import HttpClient  # noqa: PLC0415

            return HttpClient
        case "KafkaClient":
            from penstock.client.kafka import KafkaClient  # noqa: PLC0415

            return KafkaClient
        case "TextSocket":
            from penstock.client.text_socket import TextSocket  # noqa: PLC0415

            return TextSocket
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
