"""`penstock broker`: a real Apache Kafka on this machine."""

import asyncio
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from penstock.local.foreground import until_stopped

if TYPE_CHECKING:
    from penstock.local.broker import Kafka

EXAMPLES = """Examples:

    penstock broker

    penstock broker --nodes 3 --data-dir kafka

    penstock broker --secure --data-dir kafka --port 9094
"""


def broker(
    nodes: Annotated[
        int, typer.Option(min=1, max=5, help="Nodes; each is broker and controller.")
    ] = 1,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Keep topics here for the next start. Without it they are gone at the end.",
        ),
    ] = None,
    port: Annotated[
        int,
        typer.Option(
            min=0,
            max=65535,
            help="Port of the first node, the others follow; 0 finds free ones.",
        ),
    ] = 9092,
    secure: Annotated[
        bool,
        typer.Option(
            "--secure",
            help="With TLS and a password (SASL_SSL, SCRAM-SHA-512), as a cluster has them.",
        ),
    ] = False,
) -> None:
    """Run a real Apache Kafka on this machine until Ctrl-C.

    Nothing has to be installed: its jars are downloaded once (43 MB) and checked; Java 17 or
    later is used where there is one. Standard output is what to export, so that another terminal
    finds it. Exit code: 0 stopped, 1 it has ended by itself, 2 usage or configuration.
    """
    # Kafka's client takes a while to import, and the help needs none of it.
    from penstock.cli import broker_secure
    from penstock.local.broker import broker as start

    console = Console(stderr=True)
    with ExitStack() as stack:
        keys = None
        if secure:
            folder = data_dir or stack.enter_context(TemporaryDirectory(prefix="penstock-client-"))
            keys = broker_secure.secure(Path(folder))
        bar = stack.enter_context(
            Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                console=console,
                transient=True,
            )
        )
        task = bar.add_task("Looking for Kafka", total=None)

        def show(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        def announce(kafka: "Kafka") -> None:
            bar.stop()
            if keys is None:
                servers = kafka.bootstrap_servers
                said = [f"export PENSTOCK_KAFKA__BOOTSTRAP_SERVERS={servers}"]
            else:
                servers = kafka.secured[keys.listener.name]
                keys.write_properties(servers)
                said = list(keys.exports(servers))
                console.print(f"For Kafka's own tools: {keys.properties}", soft_wrap=True)
            print("\n".join(said), flush=True)
            for node, address in zip(kafka.nodes, servers.split(","), strict=True):
                console.print(f"Node {node.number}: {address}, log {node.log}", soft_wrap=True)
            console.print("Kafka is running. Ctrl-C stops it.")

        async def failed(kafka: "Kafka") -> Exception:
            ends = [asyncio.ensure_future(node.ended()) for node in kafka.nodes]
            try:
                done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                return done.pop().result()
            finally:
                for end in ends:
                    end.cancel()

        until_stopped(
            start(
                nodes=nodes,
                data_dir=data_dir,
                port=port or None,
                progress=show,
                listeners=() if keys is None else (keys.listener,),
            ),
            announce,
            failed,
        )
