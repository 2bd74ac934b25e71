"""`python -m tests.bench [NAME ...]`: what the service does and what it costs, as processes."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
import structlog

from tests.bench.backlog_cost import backlog_cost
from tests.bench.burst import burst
from tests.bench.long_answers import long_answers
from tests.bench.machine import MACHINE, machine
from tests.bench.many_keys import many_keys
from tests.bench.many_partitions import many_partitions
from tests.bench.memory import memory
from tests.bench.recovery import recovery
from tests.bench.result import say
from tests.bench.saturation import saturation, saturation_256
from tests.bench.scaling import scaling
from tests.bench.scenario import Scenario, Wanted
from tests.bench.skew import skew
from tests.bench.slow_broker import late, slow_broker
from tests.bench.table import show, table
from tests.bench.unloaded import unloaded

BOTH = (0, 20)
# All slots so many times over, where that is few: questions that start together end together.
# In all it takes half an hour on two cores. What takes long by itself, and holds, has
# one round.
SCENARIOS = {
    "saturation-64": Scenario(saturation, 640, few=320, intervals_ms=BOTH),
    "saturation-256": Scenario(saturation_256, 1_536, few=1_280, intervals_ms=BOTH),
    "unloaded": Scenario(unloaded, 120, few=20, intervals_ms=BOTH),
    "skew": Scenario(skew, 2_400, few=1_500, intervals_ms=BOTH, rounds=1),
    "burst": Scenario(burst, 20_000, few=2_000, intervals_ms=BOTH, rounds=1),
    "memory": Scenario(memory, 100_000, few=5_000, rounds=1),
    "long-answers": Scenario(long_answers, 192, few=192, intervals_ms=BOTH, rounds=1),
    "many-partitions": Scenario(many_partitions, 640, few=320, intervals_ms=BOTH, rounds=2),
    "many-keys": Scenario(many_keys, 640, few=320, intervals_ms=BOTH, rounds=2),
    "slow-broker": Scenario(slow_broker, 640, few=320, intervals_ms=BOTH, rounds=2, kafka=late),
    "scaling": Scenario(scaling, 640, few=320, rounds=2),
    "recovery": Scenario(recovery, 100_000, few=3_000, rounds=1),
    "backlog-cost": Scenario(backlog_cost, 2_000, few=640, rounds=3),
}
OUT = Path("out/bench.json")
"""Where the figures go, unless they go to stdout."""


def chosen(names: Sequence[str]) -> list[str]:
    """The scenarios of these names, or of their beginnings: `saturation` is both of them.

    Raises:
        ValueError: there is none.
    """
    for name in names:
        if not any(_called(scenario, name) for scenario in SCENARIOS):
            raise ValueError(f"no such scenario: {name}")
    return [one for one in SCENARIOS if not names or any(_called(one, name) for name in names)]


def _called(scenario: str, name: str) -> bool:
    return f"{scenario}-".startswith(f"{name}-")


def wanted(scenario: Scenario, arguments: argparse.Namespace) -> Wanted:
    """What is told wins over what the scenario has by itself."""
    questions = scenario.few if arguments.quick else scenario.questions
    return Wanted(
        arguments.questions or questions,
        tuple(arguments.min_interval_ms or scenario.intervals_ms),
        arguments.rounds or (1 if arguments.quick else scenario.rounds),
    )


async def run(names: Sequence[str], arguments: argparse.Namespace) -> None:
    """What was found is told after every scenario: the next may fail, or take long."""
    found: dict[str, Any] = {MACHINE: machine()}
    for name in names:
        say(f"--- {name}")
        scenario = SCENARIOS[name]
        async with scenario.kafka() as kafka:
            found[name] = await scenario.run(kafka.bootstrap_servers, wanted(scenario, arguments))
        if not arguments.json:
            _keep(found)
            show(table(name, found[name]))
    if arguments.json:
        sys.stdout.write(_as_json(found).decode())


def _keep(found: dict[str, Any]) -> None:
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_bytes(_as_json(found))


def _as_json(found: dict[str, Any]) -> bytes:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def main() -> None:
    parser = argparse.ArgumentParser(prog="tests.bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"default: all ({', '.join(SCENARIOS)})")
    parser.add_argument("--questions", type=int, help="of each measurement")
    parser.add_argument("--rounds", type=int, help="of all measurements; medians are told")
    parser.add_argument("--quick", action="store_true", help="few, in one round: does it work?")
    parser.add_argument(
        "--min-interval-ms",
        type=int,
        nargs="+",
        metavar="MS",
        help="TOKENS__MIN_INTERVAL_MS of the service, one after the other",
    )
    parser.add_argument("--json", action="store_true", help=f"on stdout; else in {OUT}")
    arguments = parser.parse_args()
    try:
        names = chosen(arguments.name)
    except ValueError as wrong:
        parser.error(str(wrong))
    # What the service's own code says of topics, here, is neither a figure nor progress.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    asyncio.run(run(names, arguments))


if __name__ == "__main__":
    main()
