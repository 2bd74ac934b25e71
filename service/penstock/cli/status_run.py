"""One look at a group, or one every two seconds."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from pydantic import TypeAdapter
from rich.console import Console
from rich.live import Live

from penstock import settings
from penstock.cli.connecting import Way
from penstock.cli.status_screen import screen
from penstock.clock import Clock
from penstock.errors import KafkaError
from penstock.events.envelope import rfc3339
from penstock.kafka.group_status import GroupStatus, looking
from penstock.kafka.security import client_arguments
from penstock.settings import Settings
from penstock.status import Status, status
from penstock.telemetry import logs

WATCH_SECONDS = 2.0

COLUMNS = 100
"""Where there is no terminal that says how many it has."""

_JSON = TypeAdapter(Status)


class Show(Protocol):
    def __call__(self, found: Status, trouble: str | None = None) -> None:
        """`trouble`: why it is not of now."""


def run(way: Way, group: str | None, *, watch: bool, as_json: bool) -> None:
    """Raises as `GroupStatus.look` does; who watches goes on without an answer."""
    loaded = settings.load(kafka=way.flags())
    # What matters of the connection we say ourselves.
    logs.configure("error")
    group = group or loaded.kafka.group_id
    asyncio.run(_run(loaded, group, watch=watch, as_json=as_json))


async def _run(loaded: Settings, group: str, *, watch: bool, as_json: bool) -> None:
    client = client_arguments(loaded.kafka.bootstrap_servers, loaded.kafka.client)
    clock = Clock()
    async with looking(client, loaded.topics, group, clock) as seen:
        found = await _look(seen, clock)
        with _json() if as_json else _text(live=watch) as show:
            show(found)
            while watch:
                await asyncio.sleep(WATCH_SECONDS)
                try:
                    found = await _look(seen, clock)
                except KafkaError as error:
                    show(found, str(error))
                else:
                    show(found)


async def _look(seen: GroupStatus, clock: Clock) -> Status:
    return status(await seen.look(), rfc3339(clock.wall()))


@contextmanager
def _json() -> Iterator[Show]:
    def show(found: Status, trouble: str | None = None) -> None:
        if trouble is None:
            print(_JSON.dump_json(found).decode(), flush=True)
        else:
            _complain(trouble)

    yield show


@contextmanager
def _text(*, live: bool) -> Iterator[Show]:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = COLUMNS
    if live and console.is_terminal:
        with Live(console=console, screen=True, auto_refresh=False) as drawn:
            yield lambda found, trouble=None: drawn.update(screen(found, trouble), refresh=True)
        return

    def show(found: Status, trouble: str | None = None) -> None:
        if trouble is None:
            console.print(screen(found))
        else:
            _complain(trouble)

    yield show


def _complain(trouble: str) -> None:
    print(f"penstock: {trouble}", file=sys.stderr, flush=True)
