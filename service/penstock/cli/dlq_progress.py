"""How far has it come? A bar on a terminal, else a line of JSON every few seconds."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import orjson
from rich.console import Console

from penstock.cli.progress import bar
from penstock.clock import Clock
from penstock.replay.redriving import Tally

EVERY_SECONDS = 5.0


@contextmanager
def progress(records: int, tally: Tally, clock: Clock) -> Iterator[Callable[[], None]]:
    """Call what it gives when the tally has grown. `records`: to be read, whether wanted or not."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(console, records, tally, clock)
        return
    with _bar(console, records, tally) as told:
        yield told


@contextmanager
def _bar(console: Console, records: int, tally: Tally) -> Iterator[Callable[[], None]]:
    with bar(console) as shown:
        task = shown.add_task("Dead letters", total=records)

        def told() -> None:
            refused = sum(tally.refused.values())
            words = f"{tally.redriven} redriven" + (f", {refused} refused" if refused else "")
            shown.update(task, completed=tally.read, description=words)

        yield told


def _lines(console: Console, records: int, tally: Tally, clock: Clock) -> Callable[[], None]:
    began = said_at = clock.monotonic()

    def told() -> None:
        nonlocal said_at
        if (now := clock.monotonic()) - said_at >= EVERY_SECONDS:
            said_at = now
            said = {
                "read": tally.read,
                "of": records,
                "redriven": tally.redriven,
                "refused": sum(tally.refused.values()),
                "seconds": round(now - began, 1),
            }
            console.file.write(f"{orjson.dumps(said).decode()}\n")
            console.file.flush()

    return told
