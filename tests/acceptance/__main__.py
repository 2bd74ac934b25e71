"""`python -m tests.acceptance [NAME ...]`: scenarios on real processes, a line of JSON for each."""

import argparse
import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Iterable, Iterator

import orjson

from penstock.local.broker import Kafka, broker
from tests.acceptance.backlog import backlog
from tests.acceptance.bad_key import bad_key
from tests.acceptance.brokers import brokers_away, brokers_killed
from tests.acceptance.cancels import cancels
from tests.acceptance.chaos import chaos
from tests.acceptance.connections_cut import connections_cut
from tests.acceptance.crashes import crashes
from tests.acceptance.deadline import deadline
from tests.acceptance.deploy import deploy
from tests.acceptance.duplicates import duplicates
from tests.acceptance.fault_points import fault_points
from tests.acceptance.faults import faults
from tests.acceptance.freezes import freezes
from tests.acceptance.gateway_killed import gateway_killed
from tests.acceptance.gateway_restart import gateway_restart
from tests.acceptance.gateway_streams import gateway_streams
from tests.acceptance.gateway_ttft import gateway_ttft
from tests.acceptance.handover_killed import handover_killed
from tests.acceptance.image import image
from tests.acceptance.limiter import limiter
from tests.acceptance.long_question import long_question
from tests.acceptance.model_down import model_down
from tests.acceptance.outcome import Outcome
from tests.acceptance.rate_limited import rate_limited
from tests.acceptance.recovery import recovery
from tests.acceptance.redrive import redrive
from tests.acceptance.replay import replay, replay_rate
from tests.acceptance.restart import restart
from tests.acceptance.rolling_restart import rolling_restart
from tests.acceptance.scaling import scaling
from tests.acceptance.seen import seen
from tests.acceptance.slow_head import slow_head

Scenario = Callable[[Kafka], Awaitable[Outcome]]


def _with_servers(scenario: Callable[[str], Awaitable[Outcome]]) -> Scenario:
    return lambda kafka: scenario(kafka.bootstrap_servers)


ON_ONE_NODE: dict[str, Scenario] = {
    "backlog": _with_servers(backlog),
    "bad-key": _with_servers(bad_key),
    "cancels": _with_servers(cancels),
    "crashes": _with_servers(crashes),
    "deadline": _with_servers(deadline),
    "duplicates": _with_servers(duplicates),
    "fault-points": _with_servers(fault_points),
    "faults": _with_servers(faults),
    "gateway-killed": _with_servers(gateway_killed),
    "gateway-restart": _with_servers(gateway_restart),
    "gateway-streams": _with_servers(gateway_streams),
    "gateway-ttft": _with_servers(gateway_ttft),
    "image": _with_servers(image),
    "limiter": _with_servers(limiter),
    "model-down": _with_servers(model_down),
    "model-down-quietly": _with_servers(
        lambda servers: model_down(servers, per_second=2, warm_seconds=20)
    ),
    "rate-limited": _with_servers(rate_limited),
    "recovery": _with_servers(recovery),
    "replay": _with_servers(replay),
    "replay-rate": _with_servers(replay_rate),
    "redrive": _with_servers(redrive),
    "restart": _with_servers(restart),
    "seen": _with_servers(seen),
    "slow-head": _with_servers(slow_head),
}
ON_THREE_NODES: dict[str, Scenario] = {
    "brokers-away": brokers_away,
    "brokers-killed": brokers_killed,
    "connections-cut": connections_cut,
    "freezes": _with_servers(freezes),
    "handover-killed": _with_servers(handover_killed),
    "long-question": _with_servers(long_question),
    "rolling-restart": _with_servers(rolling_restart),
    "scaling": _with_servers(scaling),
}
UNTIL_TOLD: dict[str, Scenario] = {
    "chaos": lambda kafka: chaos(kafka, **_chaos_options()),
}
"""As long as one likes: not among those that are meant where none is named."""
WITHOUT_KAFKA: dict[str, Callable[[], Outcome]] = {
    "deploy": deploy,
}
WITH_KAFKA = ON_ONE_NODE | ON_THREE_NODES | UNTIL_TOLD
SCENARIOS = {**WITH_KAFKA, **WITHOUT_KAFKA}


def _chaos_options() -> dict[str, int]:
    """`PENSTOCK_CHAOS_MINUTES`, and `PENSTOCK_CHAOS_SEED` for what was before."""
    minutes, seed = (os.environ.get(f"PENSTOCK_CHAOS_{name}") for name in ("MINUTES", "SEED"))
    options = {"seconds": int(minutes) * 60} if minutes else {}
    return options | ({"seed": int(seed)} if seed else {})


async def run(names: Iterable[str]) -> bool:
    """Whether all keep their promises and their bounds."""
    all_ok = True
    for name in names:
        if name in WITHOUT_KAFKA:
            outcome = await asyncio.to_thread(WITHOUT_KAFKA[name])
        else:
            outcome = await _with_a_kafka(name)
        all_ok = all_ok and outcome.ok
        line = {
            "name": name,
            "ok": outcome.ok,
            "load_average": round(os.getloadavg()[0], 1),
            "figures": outcome.figures,
        }
        if not outcome.ok:
            line["broken"] = outcome.wrong + outcome.beyond
        print(orjson.dumps(line).decode(), flush=True)
    return all_ok


async def _with_a_kafka(name: str) -> Outcome:
    """Of its own: what one scenario leaves behind must not slow the next."""
    async with broker(nodes=1 if name in ON_ONE_NODE else 3) as kafka:
        print(f"{name} ...", file=sys.stderr, flush=True)
        try:
            return await WITH_KAFKA[name](kafka)
        except (AssertionError, TimeoutError, ExceptionGroup) as error:
            return Outcome(wrong=list(_told(error)))


def _told(error: Exception) -> Iterator[str]:
    """By all that went wrong at once."""
    if isinstance(error, ExceptionGroup):
        for one in error.exceptions:
            yield from _told(one)
    else:
        yield str(error) or type(error).__name__


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="tests.acceptance", description=__doc__)
    parser.add_argument(
        "name", nargs="*", help=f"of {', '.join(SCENARIOS)}; default: all but chaos"
    )
    wanted = parser.parse_args().name or [name for name in SCENARIOS if name not in UNTIL_TOLD]
    if unknown := set(wanted) - SCENARIOS.keys():
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    # What the scenarios' own clients say while brokers are away.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    sys.exit(not asyncio.run(run(wanted)))
