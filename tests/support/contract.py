"""Does a gateway do what its OpenAPI document says? schemathesis, all checks, over real HTTP."""

import asyncio
import sys
from pathlib import Path

CONFIG = Path("tests/support/contract.toml").resolve()


async def contract(address: str, folder: Path, *more: str) -> str | None:
    """What is wrong; None: nothing.

    Args:
        address: of the gateway.
        folder: where schemathesis leaves what it finds.
        more: arguments of `schemathesis run`.
    """
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run"),
        *(f"{address}/openapi.json", "--checks", "all", *more),
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
