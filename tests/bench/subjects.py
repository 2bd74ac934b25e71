"""The programs that are measured: the service, and what it is compared to."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.bench import arguments
from tests.bench.figures import FLOOR as FLOOR_NAME
from tests.bench.load import MARKERS_BEFORE, Load
from tests.support.processes import Provider, Running, process, service
from tests.support.traffic import World


@dataclass(frozen=True)
class Subject:
    """`start` begins one process. `first_word`: the `sequence` of its first record at the earliest
    that has a word of the answer in it."""

    name: str
    start: Callable[[World, Provider, Load], AbstractAsyncContextManager[Running]]
    first_word: int = 0


def penstock(interval_ms: int = 0, name: str = "penstock", **more: Any) -> Subject:
    """`interval_ms`: within which what a question says is merged into one record. `more`: settings,
    by their environment names without the prefix."""

    def start(kafka: World, provider: Provider, load: Load) -> AbstractAsyncContextManager[Running]:
        settings = {
            "MODEL__NAME": f"openai/{load.model}",
            "POOL__SLOTS": load.slots,
            "TOKENS__MIN_INTERVAL_MS": interval_ms,
            **more,
        }
        return service(kafka, provider, settings)

    return Subject(f"{name}, merging {interval_ms} ms" if interval_ms else name, start)


def penstocks(intervals_ms: Sequence[int]) -> list[Subject]:
    return [penstock(interval) for interval in intervals_ms]


def _beside(
    name: str, kafka: World, provider: Provider, load: Load
) -> AbstractAsyncContextManager[Running]:
    return process(
        *(sys.executable, "-m", f"tests.bench.{name}", *_words(kafka, provider, load)),
        says=r"^group \S+$",
        # Else the first question waits for a list of prices from the network.
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "true"},
    )


def _words(kafka: World, provider: Provider, load: Load) -> Iterator[str]:
    yield from (f"--{kind}={kafka.topics[kind]}" for kind in arguments.TOPICS)
    yield from (f"--servers={kafka.servers}", f"--group={kafka.group}")
    yield from (f"--api-base={provider.address}", f"--model={load.model}")
    yield f"--slots={load.slots}"


WITH_DSPYS_CLIENT = penstock(name="with DSPy's client", MODEL__ENGINE="native")
REFERENCE = Subject("reference", partial(_beside, "reference"))
# It knows no markers: these are words to it as others are.
FLOOR = Subject(FLOOR_NAME, partial(_beside, "floor"), first_word=MARKERS_BEFORE)


def everyone(intervals_ms: Sequence[int]) -> list[Subject]:
    return [*penstocks(intervals_ms), WITH_DSPYS_CLIENT, REFERENCE, FLOOR]
