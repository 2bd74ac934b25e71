"""The image as a container, in which nothing can be written: it answers, and ends in order."""

import asyncio
import json
import os
import signal
import sys
import time

from penstock.local.prompt import ChatRequest
from tests.acceptance.endings import all_completed
from tests.acceptance.outcome import Outcome
from tests.support.behaviours import Params
from tests.support.engine import Container, Engine, NotHereError
from tests.support.model_server import ModelServer, model_server
from tests.support.processes import (
    ROOT,
    Running,
    gateway,
    probed,
    resident_mb,
    service,
    without_settings,
)
from tests.support.silence import silence
from tests.support.traffic import World, asking, reading, world

TAG = "localhost/penstock-test"
USER = 65532
PROJECT = ROOT / "service" / "penstock" / "project"
PACES = Params(first_ms=20, token_ms=2, tokens=20)
LAST = "the-last"
SECONDS = 60
SIGTERM = 128 + 15

LOOK = """
import json, os

said = dict(line.split(":", 1) for line in open("/proc/1/status"))
of_the_kernel = ("/proc", "/sys", "/dev")
folders = (path for path, _, _ in os.walk("/") if not path.startswith(of_the_kernel))
print(json.dumps({
    "ids": [said[name].split() for name in ("Uid", "Gid")],
    "writable": [path for path in folders if os.access(path, os.W_OK)],
}))
"""
"""Who runs in a container, and which folders he may write to."""


async def image(servers: str, *, questions: int = 100) -> Outcome:
    """Without an engine or a base image there is nothing to be found out, which is said.

    Args:
        servers: the Kafka.
        questions: before the last, which runs when SIGTERM comes.
    """
    outcome = Outcome()
    try:
        engine = Engine()
        await engine.build(TAG)
    except NotHereError as why:
        print(f"SKIPPED: image: {why}", file=sys.stderr, flush=True)
        outcome.figures["skipped"] = str(why)
        return outcome
    outcome.figures["size_mb"] = round(await engine.size_mb(TAG), 1)
    async with world(servers, "image") as kafka, model_server(defaults=PACES) as provider:
        # A program and settings as a user mounts them.
        async with engine.container(TAG, f"--volume={PROJECT}:/app:ro") as serving:
            await _answers(outcome, kafka, provider, serving, questions)
        async with engine.container(TAG) as serving:
            await _serves_http(outcome, kafka, serving)
    async with engine.container(TAG) as beginning:
        await _may_be_stopped_at_once(outcome, beginning)
    return outcome


async def _answers(
    outcome: Outcome, kafka: World, provider: ModelServer, serving: Container, questions: int
) -> None:
    def behave(_: int, request: ChatRequest) -> str:
        return "held" if LAST in request.last("user") else "ok"

    provider.script["ok"] = behave
    ids = [f"q{number}" for number in range(questions)]
    began = time.monotonic()
    async with (
        service(kafka, provider, {}, serving.start("serve")) as running,
        reading(kafka, "completions") as completions,
        reading(kafka, "tokens") as tokens,
        asking(kafka) as asker,
    ):
        await _ready(running)
        ready = time.monotonic() - began
        looked = json.loads(await serving.python(LOOK))
        await asker.ask_all(ids)
        await running.meanwhile(completions.until(questions), SECONDS)
        pid = await serving.pid()
        outcome.figures |= {
            "seconds_to_ready": round(ready, 2),
            "memory_mb": round(resident_mb(pid), 1),
            "memory_mb_peak": round(resident_mb(pid, peak=True), 1),
        }
        await asker.ask(LAST)
        await running.meanwhile(tokens.until_about(LAST), SECONDS)
        draining = asyncio.create_task(running.says("draining"))
        stopping = asyncio.create_task(running.terminate())
        await draining
        provider.let_end()
        code = await stopping
    await all_completed(outcome, kafka, [*ids, LAST], code)
    outcome.promise(
        f"it runs as {USER}: {looked['ids']}", kept=looked["ids"] == [[str(USER)] * 4] * 2
    )
    outcome.promise(
        f"nothing can be written, as {looked['writable'][:3]}", kept=not looked["writable"]
    )


async def _serves_http(outcome: Outcome, kafka: World, serving: Container) -> None:
    async with gateway(kafka, start=serving.start("gateway")) as running:
        status, said = await probed(running, "/readyz")
        code = await running.terminate()
    outcome.promise(f"the gateway is ready: {status} {said}", kept=status == 200)
    outcome.promise(f"exit code 0 of the gateway, not {code}", kept=code == 0)


async def _may_be_stopped_at_once(outcome: Outcome, beginning: Container) -> None:
    """Before it serves. Linux keeps from the first process of a container what it does not heed."""
    async with silence() as kafka, asyncio.timeout(SECONDS):
        environment = without_settings(os.environ) | kafka.environment()
        child = await beginning.start("serve")(environment, ROOT)
        await kafka.asked.wait()
        child.send_signal(signal.SIGTERM)
        code = await child.wait()
    outcome.promise(
        f"SIGTERM at the start ends it with {SIGTERM}, not {code}", kept=code == SIGTERM
    )


async def _ready(running: Running) -> None:
    async with asyncio.timeout(SECONDS):
        while (await probed(running, "readyz"))[0] != 200:  # noqa: ASYNC110 # its state
            await asyncio.sleep(0.05)
