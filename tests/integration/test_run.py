"""`penstock run`: a program once, without Kafka."""

import asyncio
import json
import sys
from pathlib import Path

from tests.support.command import model_environment, penstock
from tests.support.model_server import model_server

OWN_PROGRAM = """
import dspy

class Explain(dspy.Module):
    def __init__(self):
        super().__init__()
        self.think = dspy.ChainOfThought("topic, audience -> answer")

    async def aforward(self, topic, audience="anyone"):
        return await self.think.acall(topic=topic, audience=audience)
"""


async def test_the_answer_of_the_default_program_and_of_a_signature() -> None:
    async with model_server() as models:
        env = model_environment("openai/echo", models.api_base)
        bare, named, events = await asyncio.gather(
            penstock("run", "Why = is this?", env=env),
            penstock(
                *("run", "--program", "text, language -> translation", "text=a", "language=b"),
                env=env,
            ),
            penstock("run", "--json", "question=Why?", env=env),
        )

    assert (bare.code, bare.stdout, bare.stderr) == (0, "Why = is this?\n", "")
    assert named.code == 0
    *tokens, end, completion = [json.loads(line) for line in events.stdout.splitlines()]
    assert "".join(event["text"] for event in tokens) == completion["answer"] == "Why?"
    assert end["type"] == "end"
    assert completion["status"] == "completed"
    assert completion["usage"]["total_tokens"] > 0


async def test_a_program_of_ones_own_is_imported_from_here(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(OWN_PROGRAM)
    async with model_server() as models:
        env = model_environment("openai/ok", models.api_base)
        good, missing, unknown = await asyncio.gather(
            penstock("run", "--program", "mine:Explain", "topic=tides", env=env, cwd=tmp_path),
            penstock("run", "--program", "mine:Explain", env=env, cwd=tmp_path),
            penstock("run", "--program", "mine:Explain", "topic=t", "for=x", env=env, cwd=tmp_path),
        )

    assert good.code == 0
    assert good.stdout
    assert missing.code == unknown.code == 2
    assert missing.stderr == "penstock: the program 'mine:Explain' also needs: topic=...\n"
    assert "audience, topic" in unknown.stderr


async def test_what_a_program_prints_is_not_taken_for_its_answer() -> None:
    program = "tests.support.thread_programs:Prints"
    async with model_server() as models:
        env = model_environment("openai/ok", models.api_base)
        plain, events = await asyncio.gather(
            penstock("run", "--program", program, "Why?", env=env),
            penstock("run", "--json", "--program", program, "Why?", env=env),
        )

    assert (plain.code, plain.stdout) == (0, "You said Why?\n")
    assert "printed Why? \\ud800" in plain.stderr
    *_, completion = [json.loads(line) for line in events.stdout.splitlines()]
    assert completion["answer"] == "You said Why?"


async def test_a_model_that_refuses_is_one_line() -> None:
    async with model_server() as models:
        env = model_environment("openai/ok", models.api_base)
        refused, none = await asyncio.gather(
            penstock("run", "--model", "openai/429", "Why?", env=env),
            penstock("run", "Why?"),
        )

    assert (refused.code, refused.stdout) == (1, "")
    (line,) = refused.stderr.splitlines()
    assert line.startswith("penstock: failed (UPSTREAM rate_limited): ")
    assert none.code == 2
    assert "PENSTOCK_MODEL__NAME" in none.stderr


async def test_an_unknown_program_names_those_there_are() -> None:
    ended = await penstock("run", "--program", "none", "Why?")

    assert ended.code == 2
    assert "none of PROGRAMS (qa)" in ended.stderr


async def test_the_help_imports_neither_dspy_nor_kafka() -> None:
    script = (
        "import sys; from penstock import cli; "
        "print({'dspy', 'aiokafka', 'pydantic_settings'} & sys.modules.keys())"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
    )
    stdout, _ = await process.communicate()

    assert stdout.decode().strip() == "set()"
