"""podman or docker: our image built, and run as a container of which nothing is left.

`PENSTOCK_TEST_ENGINE` names the program, `PENSTOCK_TEST_BASE` a base image in place of the
Dockerfile's, `PENSTOCK_TEST_BUILD` more options of its `build`, such as `--volume` for the
certificates of a proxy.
"""

import asyncio
import os
import re
import secrets
import shlex
import shutil
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.support.processes import ROOT, Child, Start, command, without_settings

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
NOTHING_WRITABLE = {
    "docker": ("--read-only",),
    # Which would otherwise give it a /tmp that can be written.
    "podman": ("--read-only", "--read-only-tmpfs=false"),
}


class NotHereError(Exception):
    """There is no engine, or no base image; says why."""


class Engine:
    """Commands of the one that is there.

    Raises:
        NotHereError: none is.
    """

    def __init__(self) -> None:
        wanted = os.environ.get("PENSTOCK_TEST_ENGINE")
        names = (wanted,) if wanted else ("podman", "docker")
        program = next(filter(None, map(shutil.which, names)), None)
        if program is None:
            raise NotHereError(f"there is no {' and no '.join(names)} here")
        self._program = program
        self._flavour = "docker" if "docker" in Path(program).name else "podman"

    async def build(self, tag: str) -> None:
        """Our image.

        Raises:
            NotHereError: there is no engine behind the command, or no base image.
        """
        base = os.environ.get("PENSTOCK_TEST_BASE") or default_base()
        await self._said("info", otherwise=NotHereError)
        if not (await self._run("image", "inspect", base))[0]:
            await self._said("pull", base, otherwise=NotHereError)
        more = shlex.split(os.environ.get("PENSTOCK_TEST_BUILD", ""))
        file = f"--file={DOCKERFILE}"
        await self._said(
            "build", f"--build-arg=BASE={base}", *more, file, f"--tag={tag}", str(ROOT)
        )

    async def size_mb(self, tag: str) -> float:
        """Of all its layers."""
        return int(await self._said("image", "inspect", "--format={{.Size}}", tag)) / 1e6

    @asynccontextmanager
    async def container(self, tag: str, *options: str) -> AsyncIterator["Container"]:
        """One of these options that nothing can be written in, and that has this host's network."""
        name = f"penstock-test-{secrets.token_hex(4)}"
        ours = (*NOTHING_WRITABLE[self._flavour], "--network=host", *options)
        try:
            yield Container(self, name, tag, ours)
        finally:
            # Where the command was killed, what it ran goes on.
            await self._run("rm", "--force", name)

    def start(self, name: str, tag: str, options: tuple[str, ...], words: tuple[str, ...]) -> Start:
        async def started(environment: Mapping[str, str], folder: Path) -> Child:
            settings = [f"--env={one}" for one in environment if one.startswith("PENSTOCK_")]
            run = ("run", "--rm", f"--name={name}", *options, *settings, tag, *words)
            return await command(self._program, *run)(environment, folder)

        return started

    async def exec(self, name: str, *words: str) -> str:
        """What it prints in a container that runs."""
        return await self._said("exec", name, *words)

    async def pid(self, name: str) -> int:
        """Of its first process, as this host numbers it."""
        return int(await self._said("inspect", "--format={{.State.Pid}}", name))

    async def _said(self, *words: str, otherwise: type[Exception] = AssertionError) -> str:
        well, output = await self._run(*words)
        if not well:
            raise otherwise(f"{self._flavour} {words[0]}: {output.strip()[-2000:]}")
        return output

    async def _run(self, *words: str) -> tuple[bool, str]:
        process = await asyncio.create_subprocess_exec(
            self._program,
            *words,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=without_settings(os.environ),
        )
        output, errors = await process.communicate()
        return process.returncode == 0, (output if process.returncode == 0 else errors).decode()


class Container:
    """One that `start` starts, once."""

    def __init__(self, engine: Engine, name: str, tag: str, options: tuple[str, ...]) -> None:
        self._engine = engine
        self._name = name
        self._tag = tag
        self._options = options

    def start(self, *words: str) -> Start:
        """`words`: of the command."""
        return self._engine.start(self._name, self._tag, self._options, words)

    async def python(self, text: str) -> str:
        """What it prints there."""
        return (await self._engine.exec(self._name, "python3", "-Ic", text)).strip()

    async def pid(self) -> int:
        return await self._engine.pid(self._name)


def default_base() -> str:
    """Of the Dockerfile."""
    [base] = re.findall(r"^ARG BASE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return str(base)
