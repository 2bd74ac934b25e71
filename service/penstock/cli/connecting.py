"""How does a command reach Kafka? The flags that all such commands have."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from penstock.errors import ConfigurationError

CONNECTION = "Connection"
"""Of the help: a table of its own, in which these are not cut short in 80 columns."""

BootstrapServer = Annotated[
    str | None,
    typer.Option(
        "--bootstrap-server",
        "--brokers",
        "-b",
        metavar="SERVERS",
        help="host:port of a broker, or of several with commas between.",
        rich_help_panel=CONNECTION,
    ),
]
CommandConfig = Annotated[
    Path | None,
    typer.Option(
        "--command-config",
        "-F",
        metavar="FILE",
        dir_okay=False,
        help="How to connect: a client.properties, as Kafka's own tools take it.",
        rich_help_panel=CONNECTION,
    ),
]
ClientOptions = Annotated[
    list[str] | None,
    typer.Option(
        "-X",
        metavar="PROP=VAL",
        help="How to connect, by librdkafka's names, such as security.protocol=SSL; repeatable.",
        rich_help_panel=CONNECTION,
    ),
]
Output = Annotated[
    Literal["text", "json"], typer.Option(help="How data is printed; JSON is one object a line.")
]


class Way(NamedTuple):
    """To Kafka, as far as flags say it; the settings say the rest. `options`: as with `-X`."""

    bootstrap_server: str | None = None
    command_config: Path | None = None
    options: Sequence[str] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The flags again, for a command that is printed: secrets are hidden in it."""
        # It needs the settings, and the help none of them.
        from penstock.settings import secrets

        servers, file, options = self
        said: list[str] = [] if servers is None else ["-b", servers]
        if file is not None:
            said += ["--command-config", str(file)]
        for name, value in map(_named, options or ()):
            said += ["-X", f"{name}={secrets.shown(('kafka', 'client', name), value)}"]
        return tuple(said)

    def flags(self) -> dict[str, Any]:
        """For `settings.load(kafka=...)`: they come before every other source, and
        `--bootstrap-server` and `-X` before what the file says.

        Raises:
            ConfigurationError: an option is none; or see `penstock.kafka.java_properties.read`.
        """
        kafka: dict[str, Any] = {}
        if self.command_config is not None:
            # Kafka's client takes a while to import, and the help needs none of it.
            from penstock.kafka import java_properties

            servers, group, client, left_out = java_properties.read(self.command_config)
            if left_out:
                names = ", ".join(left_out)
                print(
                    f"penstock: {self.command_config}: not about the connection, left out: {names}",
                    file=sys.stderr,
                )
            kafka = {"bootstrap_servers": servers, "group_id": group, "client": client}
        if self.bootstrap_server is not None:
            kafka["bootstrap_servers"] = self.bootstrap_server
        if options := dict(_named(option) for option in self.options or ()):
            kafka["client"] = {**kafka.get("client", {}), **options}
        return {name: value for name, value in kafka.items() if value is not None}


def _named(option: str) -> tuple[str, str]:
    name, equals, value = option.partition("=")
    if not equals or not name:
        raise ConfigurationError(
            f"-X {option}: is no option; write name=value, as in -X security.protocol=SSL"
        )
    return name.strip(), value
