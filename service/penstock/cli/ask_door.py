"""Where does `penstock ask` ask? At Kafka's door, or at a gateway's."""

import logging
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Collection
from pathlib import Path
from urllib.parse import quote

from penstock import settings
from penstock.cli.connecting import Way
from penstock.client import Client
from penstock.errors import ConfigurationError

TOKEN = "PENSTOCK_TOKEN"  # noqa: S105 - its name
"""The environment variable of a gateway's bearer token."""


class Door(ABC):
    """`client`: not connected yet."""

    client: Client

    def nobody(self, timeout: float) -> str:
        """Seconds were waited in vain."""
        return f"penstock: no answer within {timeout:g} s; {self._cause()}"

    def say_how_to_end(self, unanswered: Collection[str]) -> None:
        """Nobody here waits for these questions any more, and yet they are worked, and paid for."""
        if unanswered:
            command = self._cancel(unanswered)
            print(f"penstock: still to be answered; to end that: {command}", file=sys.stderr)

    @abstractmethod
    def _cause(self) -> str: ...

    @abstractmethod
    def _cancel(self, question_ids: Collection[str]) -> str: ...


class KafkaDoor(Door):
    """By the settings; a flag comes first."""

    def __init__(self, way: Way) -> None:
        from penstock.client import KafkaClient

        # It reports every refused connection and reconnect; what matters of it we say ourselves.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        loaded = settings.load(kafka=way.flags())
        topics = loaded.topics
        self._way = way
        self.client = KafkaClient(
            loaded.kafka.bootstrap_servers,
            loaded.kafka.client,
            questions=topics.questions,
            tokens=topics.tokens,
            completions=topics.completions,
            control=topics.control,
        )

    def _cause(self) -> str:
        return (
            "is `penstock serve` running on these brokers and topics, "
            "and neither paused nor its gate shut? (penstock status)"
        )

    def _cancel(self, question_ids: Collection[str]) -> str:
        return shlex.join(("penstock", "cancel", *self._way.words, *question_ids))


class GatewayDoor(Door):
    """Raises ConfigurationError: this is no URL, or the file cannot be read.

    Args:
        url: of the gateway.
        token: as the environment has it.
        token_file: of which the content is the token; it comes first.
    """

    def __init__(self, url: str, token: str | None, token_file: Path | None) -> None:
        from penstock.client import HttpClient

        self._url = url.rstrip("/")
        self._shown = ""
        if token_file is not None:
            token = _read(token_file)
            self._shown = f"$(cat {shlex.quote(str(token_file))})"
        elif token is not None:
            self._shown = f"${TOKEN}"
        self.client = HttpClient(url, token=token)

    def _cause(self) -> str:
        return (
            "is `penstock serve` running behind this gateway, "
            "and neither paused nor its gate shut? (penstock status)"
        )

    def _cancel(self, question_ids: Collection[str]) -> str:
        # The shell knows the token; nobody else needs to see it.
        header = f' -H "Authorization: Bearer {self._shown}"' if self._shown else ""
        urls = (f"{self._url}/v1/questions/{quote(name, safe='')}/cancel" for name in question_ids)
        return f"curl -X POST{header} {shlex.join(urls)}"


def _read(token_file: Path) -> str:
    try:
        return token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--token-file {token_file}: {error}") from error
