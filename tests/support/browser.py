"""A real browser without a window, reading a page as a person would.

async with browsing(page) as tab:
    assert await tab.value("document.title") == "..."

Chromium, spoken to over its own debugging protocol; no driver is needed.
"""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import aiohttp
import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_S = 40.0
# As root it has no sandbox, and nothing of it is to leave this machine.
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--no-sandbox",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
)


def browser() -> str:
    """Where one is; else the test is skipped."""
    found = os.environ.get("PENSTOCK_TEST_BROWSER") or next(
        filter(None, map(shutil.which, NAMES)), None
    )
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(NAMES)} is on the PATH (apt install chromium)")
    return found


class Tab:
    """A page that is loaded. `asked`: the addresses that it has asked for."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self.asked: list[str] = []

    async def call(self, method: str, **parameters: Any) -> Any:
        """Chromium's own, such as `Emulation.setEmulatedMedia`."""
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": parameters})
        while (said := await self._said()).get("id") != self._calls:
            pass
        assert "error" not in said, said
        return said["result"]

    async def until(self, event: str) -> None:
        while (await self._said()).get("method") != event:
            pass

    async def value(self, expression: str) -> Any:
        """Of an expression in JavaScript."""
        answer = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def press(self, key: str) -> None:
        code = {"Tab": 9, "ArrowRight": 39, "ArrowLeft": 37}[key]
        for kind in ("rawKeyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code
            )

    async def _said(self) -> dict[str, Any]:
        said: dict[str, Any] = await self._socket.receive_json()
        if said.get("method") == "Network.requestWillBeSent":
            self.asked.append(said["params"]["request"]["url"])
        return said


@asynccontextmanager
async def browsing(page: Path) -> AsyncIterator[Tab]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            *(browser(), *FLAGS, f"--user-data-dir={profile}", "about:blank"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE_S), aiohttp.ClientSession() as session:
                at = await _address(process)
                async with session.get(f"http://{at}/json/list") as answer:
                    [target] = [one for one in await answer.json() if one["type"] == "page"]
                async with session.ws_connect(target["webSocketDebuggerUrl"]) as socket:
                    tab = Tab(socket)
                    for domain in ("Page", "Network"):
                        await tab.call(f"{domain}.enable")
                    await tab.call("Page.navigate", url=page.as_uri())
                    await tab.until("Page.loadEventFired")
                    yield tab
        finally:
            process.kill()
            await process.communicate()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = "DevTools listening on ws://"
    while not (line := (await process.stderr.readline()).decode()).startswith(said):
        assert line, "the browser has ended"
    return line.removeprefix(said).partition("/")[0]
