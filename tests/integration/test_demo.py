"""`penstock demo`: Kafka, a model and the service in one command."""

import asyncio
import re
import signal

import pytest
from rich.console import Console

from penstock.cli import demo_screen
from penstock.cli.demo_screen import Asked, State
from penstock.events.token import Token
from tests.support.command import penstock, started


async def connects(address: str) -> bool:
    host, port = address.split(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


@pytest.mark.time_limit(180)
async def test_it_answers_stays_up_for_more_and_leaves_nothing_behind() -> None:
    async with started("demo", "--keep", "--questions", "2") as process:
        assert process.stdout is not None
        said = ""
        while "make test" not in said:
            line = (await process.stdout.readline()).decode()
            assert line, (await process.communicate())[1].decode()
            said += line
        (address,) = re.findall(r"penstock.* ask -b (\S+)", said)
        asked = await penstock("ask", "-b", address, "Why?")

        process.send_signal(signal.SIGINT)
        _, stderr = await process.communicate()

    assert "[1/2] " in said
    assert "[2/2] " in said
    assert (asked.code, asked.stderr) == (0, "")
    assert asked.stdout.strip()
    assert process.returncode == 0
    assert "Traceback" not in stderr.decode()
    assert "WARNING" not in stderr.decode()
    assert not await connects(address)


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 45), (40, 12), (300, 100)])
@pytest.mark.parametrize("count", [1, 6, 14, 200])
def test_a_frame_fits_the_terminal(width: int, height: int, count: int) -> None:
    console = Console(width=width, height=height, force_terminal=True)
    asked = [Asked(f"Question {number}? " * 5) for number in range(count)]
    for number, one in enumerate(asked[: count // 2]):
        one.turn = number
        one.add(
            Token(
                question_id="q",
                sequence=0,
                attempt=1,
                field="answer",
                text="word " * 200,
                step="self",
                call=0,
                output=True,
            )
        )
    state = State(1, 2, 3, 3, 1, 2, 50.0)

    lines = console.render_lines(demo_screen.frame(console, "title " * 40, asked, state), pad=False)

    assert len(lines) < height
    assert all(sum(segment.cell_length for segment in line) <= width for line in lines)
