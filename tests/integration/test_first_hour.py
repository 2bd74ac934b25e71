"""The README's first hour, word by word: from an empty folder to an answer over SASL_SSL.

Real processes, as a new user starts them. What the tests put in: a model, by the two variables that
the README names, and another port for the broker, as its own may be taken on this machine.
"""

import asyncio
import json
import os
import re
import socket
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from pathlib import Path

import pytest

from penstock.local.broker import PORTS
from tests.support.kafka_tools import put_on_path
from tests.support.model_server import model_server
from tests.support.processes import Running, process, without_settings
from tests.support.readme import Block, blocks

HOUR = list(blocks("<!-- first hour: begin -->\n", "<!-- first hour: end -->"))
PORT = "9094"
ANSWER = "You said My pump hums."


class Desk:
    """Where the blocks are typed: in one terminal, which goes from folder to folder, and beside it
    in others that stay.
    """

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._port = str(_free_port())

    def write(self, block: Block) -> None:
        """Into the file that it says it is."""
        assert block.file is not None
        (self._folder / block.file).write_text(block.text)

    async def run(self, block: Block) -> str:
        """What it prints; it has to succeed."""
        left_in = self._folder / ".left-in"
        typed = await asyncio.create_subprocess_exec(
            *("sh", "-e", "-c", f"{self._text(block)}pwd >{left_in}\n"),
            cwd=self._folder,
            env=self._environment,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
        )
        try:
            output, _ = await typed.communicate()
        finally:
            if typed.returncode is None:
                typed.kill()
                await typed.wait()
        said = output.decode()
        assert typed.returncode == 0, f"{block.text}\n{said}"
        self._folder = Path(left_in.read_text().rstrip("\n"))
        left_in.unlink()
        return said

    def beside(self, block: Block) -> AbstractAsyncContextManager[Running]:
        """In a terminal of its own, from when it says what the README waits for."""
        script = f"exec {self._text(block)}"
        says = re.escape(str(block.goes_on))
        words, folder = ("sh", "-e", "-c", script), self._folder
        return process(*words, says=says, environment=self._environment, folder=folder)

    def _text(self, block: Block) -> str:
        return block.text.replace(PORT, self._port)


def _free_port() -> int:
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return port
    raise AssertionError("no port is free")


@pytest.mark.time_limit(180)
async def test_the_first_hour_is_as_the_readme_says(tmp_path: Path) -> None:
    (empty := tmp_path / "empty").mkdir()
    await put_on_path(tmp_path / "bin")
    said: list[str] = []
    async with model_server() as models, AsyncExitStack() as stack:
        # As the project calls it.
        models.script["gpt-4o-mini"] = lambda *_: "ok"
        programs = f"{tmp_path / 'bin'}:{Path(sys.executable).parent}"
        environment = {
            **without_settings(os.environ),
            "PATH": f"{programs}:{os.environ['PATH']}",
            "OPENAI_BASE_URL": models.api_base,
            "OPENAI_API_KEY": "sk-mine",
            "PENSTOCK_TELEMETRY__PORT": "0",
        }
        desk = Desk(empty, environment)
        for block in HOUR:
            if block.file is not None:
                desk.write(block)
            elif block.goes_on is not None:
                await stack.enter_async_context(desk.beside(block))
            else:
                said.append(await desk.run(block))

    begun, tried, checked, answered = said
    assert "wrote desk/program.py\n" in begun
    assert "1 passed" in tried
    assert tried.endswith(f"\n{ANSWER}\n")
    assert checked.endswith("\npenstock: all is well\n")
    # The tools have something to say of themselves, too.
    [record] = [line for line in answered.splitlines() if line.startswith("{")]
    completion = json.loads(record)
    assert (completion["status"], completion["answer"]) == ("completed", ANSWER)
    assert completion["source"]["group"] == "desk"
