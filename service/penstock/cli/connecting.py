"""How does a command reach Kafka? The flags that all such commands have."""

import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

BootstrapServer = Annotated[
    str | None, typer.Option("--bootstrap-server", "-b", help="host:port of the brokers.")
]
CommandConfig = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        dir_okay=False,
        help="How to connect: a client.properties, as Kafka's own tools take it.",
    ),
]


class Way(NamedTuple):
    """To Kafka, as far as flags say it; the settings say the rest."""

    bootstrap_server: str | None = None
    command_config: Path | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The flags again, for another command."""
        servers, file = self
        said = () if servers is None else ("-b", servers)
        return said if file is None else (*said, "--command-config", str(file))

    def flags(self) -> dict[str, Any]:
        """For `settings.load(kafka=...)`: they come before every other source, and
        `--bootstrap-server` before what the file says.

        Raises:
            ConfigurationError: see `penstock.kafka.java_properties.read`.
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
        return {name: value for name, value in kafka.items() if value is not None}
