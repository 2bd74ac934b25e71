"""`python -m tests.acceptance [NAME ...]`: scenarios on real processes, a line of JSON for each."""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator

import orjson

from penstock.local.broker import broker
from tests.acceptance.backlog import backlog
from tests.acceptance.crashes import crashes
from tests.acceptance.deadline import deadline
from tests.acceptance.duplicates import duplicates
from tests.acceptance.fault_points import fault_points
from tests.acceptance.outcome import Outcome
from tests.acceptance.recovery import recovery
from tests.acceptance.restart import restart
from tests.acceptance.slow_head import slow_head

SCENARIOS: dict[str, Callable[[str], Awaitable[Outcome]]] = {
    "backlog": backlog,
    "crashes": crashes,
    "deadline": deadline,
    "duplicates": duplicates,
    "fault-points": fault_points,
    "recovery": recovery,
    "restart": restart,
    "slow-head": slow_head,
}


async def run(names: Iterable[str]) -> bool:
    """Whether all keep their promises and their bounds."""
    all_ok = True
    for name in names:
        # A Kafka each: what one scenario leaves behind must not slow the next.
        async with broker() as kafka:
            print(f"{name} ...", file=sys.stderr, flush=True)
            try:
                outcome = await SCENARIOS[name](kafka.bootstrap_servers)
            except (AssertionError, TimeoutError, ExceptionGroup) as error:
                outcome = Outcome(wrong=list(_told(error)))
        all_ok = all_ok and outcome.ok
        line = {"name": name, "ok": outcome.ok, "figures": outcome.figures}
        if not outcome.ok:
            line["broken"] = outcome.wrong + outcome.beyond
        print(orjson.dumps(line).decode(), flush=True)
    return all_ok


def _told(error: Exception) -> Iterator[str]:
    """By all that went wrong at once."""
    if isinstance(error, ExceptionGroup):
        for one in error.exceptions:
            yield from _told(one)
    else:
        yield str(error) or type(error).__name__


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.acceptance", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"default: all ({', '.join(SCENARIOS)})")
    wanted = parser.parse_args().name or list(SCENARIOS)
    if unknown := set(wanted) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    sys.exit(not asyncio.run(run(wanted)))
