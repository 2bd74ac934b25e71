"""Does a gateway do what its OpenAPI document says? schemathesis, all checks, over real HTTP."""

import asyncio
import sys
from pathlib import Path

CONFIG = Path("tests/support/contract.toml").resolve()


async def contract(address: str, paths: str, folder: Path, *headers: str) -> str | None:
    """What is wrong; None: nothing.

    Args:
        address: of the gateway.
        paths: a regular expression; those of the document that it matches are looked at.
        folder: where schemathesis leaves what it finds.
        headers: of every request, such as `Authorization: Bearer ...`.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
        *(f"{address}/openapi.json", "--include-path-regex", paths, "--checks", "all"),
        *(argument for header in headers for argument in ("--header", header)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=folder,
        env={"PYTHONPATH": str(CONFIG.parents[2]), "PATH": ""},
    )
    try:
        told, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return told.decode() if process.returncode else None
