"""The acceptance scenarios in small: what they promise, without their bounds of time and memory."""

from pathlib import Path

import pytest

from tests.acceptance.backlog import backlog
from tests.acceptance.deadline import deadline
from tests.acceptance.recovery import recovery
from tests.acceptance.restart import restart

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
