"""`penstock demo`: Kafka, a model and the service in one command."""

import asyncio
import importlib
import re
import shlex
import signal
import sys
from pathlib import Path

import httpx
import pytest
from rich.console import Console

from penstock.cli import demo_plan, demo_screen, demo_show
from penstock.cli.demo_plan import QUESTIONS, Models, StandIn
from penstock.cli.demo_screen import Asked, State
from penstock.errors import ConfigurationError
from penstock.events.token import Token
from penstock.settings import ModelSettings
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
        (page,) = re.findall(r"http://127\.0\.0\.1:\d+", said)
        async with httpx.AsyncClient(base_url=page) as browser:
            recent = (await browser.get("/v1/recent-questions")).json()["questions"]

        process.send_signal(signal.SIGINT)
        _, stderr = await process.communicate()

    assert "[1/2] " in said
    assert "[2/2] " in said
    assert (asked.code, asked.stderr) == (0, "")
    assert asked.stdout.strip()
    assert [one["status"] for one in recent] == ["completed"] * 3
    assert process.returncode == 0
    assert "Traceback" not in stderr.decode()
    assert "WARNING" not in stderr.decode()
    assert not await connects(address)


PROJECT = """
default_program = "orders"

[kafka]
bootstrap_servers = "kafka.example.com:9093"
group_id = "desk"
client = { "security.protocol" = "SASL_SSL" }

[topics]
questions = "desk.questions"

[programs]
orders = { entry = "of_the_demo:Orders", model = "large" }
talk = { entry = "question -> answer", timeout_ms = 5000 }

[models.default]
name = "openai/gpt-4o-mini"
[models.large]
name = "anthropic/claude-sonnet-4-5"
"""

ORDERS = """
import dspy
from typing import Literal
from pydantic import BaseModel

class Order(BaseModel):
    customer: str
    pieces: int

class Orders(dspy.Signature):
    text: str = dspy.InputField()
    language: Literal["de", "en"] = dspy.InputField()
    earlier: list[Order] = dspy.InputField()
    order: Order = dspy.OutputField()
"""


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "penstock.toml").write_text(PROJECT)
    (tmp_path / "of_the_demo.py").write_text(ORDERS)
    monkeypatch.delitem(sys.modules, "of_the_demo", raising=False)
    # DSPy may only be configured by the first task that did; here every test is another.
    configured = importlib.import_module("dspy.dsp.utils.settings")
    monkeypatch.setattr(configured, "config_owner_async_task", None)


async def test_in_a_project_its_programs_are_served_by_models_of_this_machine(
    project: None,
) -> None:
    small = StandIn(ModelSettings(name="openai/small", adapter="plain"), "a small one")
    typed = StandIn(ModelSettings(name="openai/typed"), "a scripted one")
    models = Models(small, typed)

    plan = demo_plan.plan()
    served = plan.served("localhost:20000", models)

    assert plan.title(models) == "a scripted one, in place of anthropic/claude-sonnet-4-5"
    assert {
        name: served.all_models[program.model].name for name, program in served.programs.items()
    } == {"orders": "openai/typed", "talk": "openai/small"}
    assert (served.kafka.bootstrap_servers, served.kafka.client) == ("localhost:20000", {})
    assert (served.kafka.group_id, served.topics.questions) == ("desk", "desk.questions")
    assert served.programs["talk"].timeout_ms == 5_000


async def test_a_program_is_asked_by_its_own_fields(project: None) -> None:
    first, second = demo_plan.plan().questions(2)

    text = QUESTIONS[0]
    earlier = [{"customer": text, "pieces": 7}]
    assert first == {"text": text, "language": "de", "earlier": earlier}
    assert second["text"] == QUESTIONS[1]


async def test_what_to_type_is_taken_by_a_shell_as_it_is_meant(
    project: None, capsys: pytest.CaptureFixture[str]
) -> None:
    demo_show.say_what_next("localhost:20000", demo_plan.plan(), demo_show.Page("http://a", "t"))

    [line] = (one for one in capsys.readouterr().out.splitlines() if " ask -b " in one)
    typed = shlex.split(line)
    assert 'earlier=[{"customer":"Why is the moon round?","pieces":7}]' in typed
    assert "text=Why is the moon round?" in typed


def test_a_mistake_in_a_project_shows_before_anything_has_started(project: None) -> None:
    Path("of_the_demo.py").write_text("Order = 1")

    with pytest.raises(ConfigurationError, match="program 'orders': cannot import"):
        demo_plan.plan()


def test_a_step_with_a_model_of_its_own_is_not_served_which_would_be_paid_for(
    project: None,
) -> None:
    Path("penstock.toml").write_text('[programs]\npaid = "paid_for:program"\n')
    Path("paid_for.py").write_text(
        "import dspy\nprogram = dspy.Predict('question -> answer')\n"
        "program.lm = dspy.LM('openai/dear', api_key='k')\n"
    )

    with pytest.raises(ConfigurationError, match=r"step 'self' .* \(openai/dear\)"):
        demo_plan.plan()


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
