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

FAULTY = """
import asyncio
import sys

import dspy


def look_up(key):
    return {}[key]


class InAThread(dspy.Module):
    def __init__(self):
        super().__init__()
        self.predict = dspy.Predict("question -> answer")

    def forward(self, question):
        return look_up(question)


class OnTheLoop(InAThread):
    async def aforward(self, question):
        await asyncio.sleep(0)
        raise ValueError(f"no words about {question}")


class Exits(InAThread):
    def forward(self, question):
        sys.exit(3)


class ExitsOnTheLoop(InAThread):
    async def aforward(self, question):
        sys.exit(3)


class CannotBeMade(InAThread):
    def __init__(self):
        super().__init__()
        self.broken = dspy.Predict("no signature")
"""


def line_of(code: str) -> int:
    return next(n for n, line in enumerate(FAULTY.splitlines(), 1) if code in line)


async def test_the_answer_of_the_default_program_and_of_a_signature() -> None:
    async with model_server() as models:
        env = model_environment("openai/echo", models.api_base)
        bare, named, events = await asyncio.gather(
            penstock("run", "Why = is this?", env=env),
            penstock(
                *("run", "--program", "text, language -> translation", "text=a", "language=b"),
                env=env,
            ),
            penstock("run", "--output", "json", "question=Why?", env=env),
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
            penstock("run", "--output", "json", "--program", program, "Why?", env=env),
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


async def test_what_a_program_raises_is_shown_from_its_own_code_on(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FAULTY)
    async with model_server() as models:
        env = model_environment("openai/ok", models.api_base)
        in_a_thread, on_the_loop = await asyncio.gather(
            *(
                penstock("run", "--program", f"mine:{name}", "tides", env=env, cwd=tmp_path)
                for name in ("InAThread", "OnTheLoop")
            )
        )

    for ended, begins in (
        (in_a_thread, "return look_up(question)"),
        (on_the_loop, "raise ValueError("),
    ):
        assert (ended.code, ended.stdout) == (1, "")
        head, first, code, *_ = ended.stderr.splitlines()
        assert head == "Traceback (most recent call last):"
        assert first.strip().startswith(f'File "{tmp_path / "mine.py"}", line {line_of(begins)}, ')
        assert code.strip().startswith(begins)
    place = f"mine.py:{line_of('return {}[key]')}"
    assert in_a_thread.stderr.splitlines()[-2:] == [
        "KeyError: 'tides'",
        f"penstock: failed (ANSWER program_error): the program raised KeyError at {place}",
    ]
    assert "\nValueError: no words about tides\n" in on_the_loop.stderr


async def test_a_program_that_exits_has_failed_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FAULTY)
    (tmp_path / "script.py").write_text("import sys\nsys.exit(3)\n")
    async with model_server() as models:
        env = model_environment("openai/ok", models.api_base)
        in_a_thread, on_the_loop, imported = await asyncio.gather(
            *(
                penstock(
                    "run", "--output", "json", "--program", name, "tides", env=env, cwd=tmp_path
                )
                for name in ("mine:Exits", "mine:ExitsOnTheLoop", "script:Program")
            )
        )

    for ended in (in_a_thread, on_the_loop):
        assert ended.code == 1
        end, completion = [json.loads(line) for line in ended.stdout.splitlines()]
        assert end["status"] == completion["status"] == "failed"
        # As the service names it.
        assert completion["error"]["code"] == "unexpected_error"
        assert "in forward" in ended.stderr or "in aforward" in ended.stderr
        said = ended.stderr.splitlines()[-1]
        assert said == "penstock: failed (ANSWER unexpected_error): SystemExit"
    assert imported.code == 2
    said = "penstock: program 'script:Program': it ends Python: sys.exit(3) (script.py:2)\n"
    assert imported.stderr == said


async def test_a_program_that_cannot_be_made_says_where(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(FAULTY)
    env = model_environment("openai/ok", "http://localhost:1")
    ended = await penstock("run", "--program", "mine:CannotBeMade", "t", env=env, cwd=tmp_path)

    assert ended.code == 2
    (said,) = ended.stderr.splitlines()
    assert said.startswith("penstock: program 'mine:CannotBeMade': ValueError: ")
    # In DSPy it was raised; that is not where one looks for it.
    assert said.endswith(f"(mine.py:{line_of('no signature')})")
