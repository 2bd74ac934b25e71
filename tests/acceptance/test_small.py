"""The acceptance scenarios in small: what they promise, without their bounds of time and memory."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tests.acceptance.backlog import backlog
from tests.acceptance.bad_key import bad_key
from tests.acceptance.cancels import cancels
from tests.acceptance.deadline import deadline
from tests.acceptance.faults import faults
from tests.acceptance.freezes import freezes
from tests.acceptance.gateway_killed import gateway_killed
from tests.acceptance.handover_killed import handover_killed
from tests.acceptance.limiter import limiter
from tests.acceptance.long_question import long_question
from tests.acceptance.model_down import model_down
from tests.acceptance.outcome import Outcome
from tests.acceptance.rate_limited import rate_limited
from tests.acceptance.recovery import recovery
from tests.acceptance.restart import restart
from tests.acceptance.rolling_restart import rolling_restart
from tests.acceptance.scaling import scaling
from tests.chaos.nursery import nursery
from tests.support.kafka import Call
from tests.support.processes import Start, with_settings

reads_memory = pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="memory is read from Linux"
)


@reads_memory
async def test_a_backlog_is_answered_once_and_within_the_slots(bootstrap_servers: str) -> None:
    # Marks far below the backlog of a partition, so that even this small one must pause.
    marks = {"INTAKE__HIGH": 20, "INTAKE__LOW": 10}
    outcome = await backlog(bootstrap_servers, questions=600, slots=16, warm=100, settings=marks)
    assert not outcome.wrong


async def test_what_runs_out_of_time_is_cut_off_and_its_key_goes_on(bootstrap_servers: str) -> None:
    outcome = await deadline(bootstrap_servers, repeats=3)
    assert not outcome.wrong


async def test_a_restart_loses_nothing_and_repeats_nothing(bootstrap_servers: str) -> None:
    outcome = await restart(bootstrap_servers, questions=40, slots=8)
    assert not outcome.wrong


@reads_memory
async def test_after_a_lost_commit_nothing_is_asked_again(bootstrap_servers: str) -> None:
    outcome = await recovery(bootstrap_servers, completions=600, cases=["no_commit"])
    assert not outcome.wrong


# --- members that come, go and die, and models that fail ------------------------------------------

PER_SECOND = 5
AT_ONCE = 2
SMALL: dict[str, Callable[[str, Start], Awaitable[Outcome]]] = {
    "bad-key": lambda servers, start: bad_key(
        servers, questions=60, revoked_at=20, slots=8, start=_named(start)
    ),
    "cancels": lambda servers, start: cancels(
        servers, questions=200, cancelled=100, seconds=2, slots=32, start=_named(start)
    ),
    "faults": lambda servers, start: faults(
        servers, questions=100, compared=False, start=_named(start)
    ),
    "gateway-killed": lambda servers, start: gateway_killed(
        servers, questions=8, words=30, serve=_named(start)
    ),
    "limiter": lambda servers, start: limiter(
        servers, questions=100, serves=8, slots=64, fixed=(), start=_named(start)
    ),
    "model-down": lambda servers, start: model_down(
        servers,
        seconds=2,
        probe_ms=500,
        # The first to fail shut the breaker, and have one attempt left: whoever finds out whether
        # it is back must not lose that.
        settings={"BREAKER__RATIO": 0.05, "RETRY__MAX_ATTEMPTS": 2},
        start=_named(start),
    ),
    "rate-limited": lambda servers, start: rate_limited(
        servers, questions=100, slots=8, seconds=2, retry_after=1, start=_named(start)
    ),
    "freezes": lambda servers, start: freezes(
        servers, times=2, seconds=8, members=2, per_second=PER_SECOND, start=start
    ),
    "handover-killed": lambda servers, start: handover_killed(
        servers, questions=8, seconds=6, drain=5, members=2, per_second=PER_SECOND, start=start
    ),
    "long-question": lambda servers, start: long_question(
        servers, seconds=15, coming=0, going=0, per_second=PER_SECOND, start=start
    ),
    "rolling-restart": lambda servers, start: rolling_restart(
        servers, members=2, rounds=1, per_second=PER_SECOND, start=start
    ),
    "scaling": lambda servers, start: scaling(
        servers, sizes=(1, 2, 1), per_second=PER_SECOND, start=start
    ),
}


def _named(start: Start) -> Start:
    """What an ordeal does by itself: a member of the nursery wants a name."""
    return with_settings(start, {"TEST_MEMBER": "small"})


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, bootstrap_servers: str, session_loop: Call
) -> dict[str, Outcome | BaseException]:
    """All that are asked for, some at once: they are mostly waiting."""
    asked = [item.name for item in request.session.items if item.path == request.path]
    wanted = [name for name in SMALL if f"test_members[{name}]" in asked]

    async def told() -> dict[str, Outcome | BaseException]:
        async with nursery() as born:
            limit = asyncio.Semaphore(AT_ONCE)

            async def one(name: str) -> Outcome:
                async with limit:
                    return await SMALL[name](bootstrap_servers, born.start)

            found = await asyncio.gather(*map(one, wanted), return_exceptions=True)
        return dict(zip(wanted, found, strict=True))

    outcomes: dict[str, Outcome | BaseException] = session_loop(told())
    return outcomes


@pytest.mark.parametrize("name", SMALL)
def test_members(outcomes: dict[str, Outcome | BaseException], name: str) -> None:
    outcome = outcomes[name]
    if isinstance(outcome, BaseException):
        raise outcome
    print(outcome.figures)
    assert not outcome.wrong
