"""The README's section on other clients, word by word: with a Kafka and a service."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

from penstock.local.broker import broker
from tests.support.command import PENSTOCK, Ended
from tests.support.kafka_tools import put_on_path
from tests.support.model_server import model_server
from tests.support.processes import SERVES, process
from tests.support.readme import Block, blocks

CUT = 3
"""The how-manieth call loses its connection: that of the question called `mine`."""

TERMINAL = {"FORCE_COLOR": "1", "COLUMNS": "120"}
"""On which what is printed is as in the README."""

ANSWER = "You said Why is the sky blue?"


async def run(block: Block, address: str, folder: Path) -> str:
    """What it prints, where the Kafka of the README is at this address."""
    code = block.text.replace("localhost:9092", address)
    shell = ("sh", "-e", "-c") if block.language == "sh" else (sys.executable, "-c")
    process = await asyncio.create_subprocess_exec(
        *(*shell, code),
        env={
            **os.environ,
            "PATH": f"{folder / 'bin'}:{Path(PENSTOCK).parent}:{os.environ['PATH']}",
            "KAFKA_BOOTSTRAP_SERVERS": address,
            **TERMINAL,
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        stdout, stderr = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    ended = Ended(process.returncode or 0, stdout.decode(), stderr.decode())
    assert ended.code == 0, ended
    return ended.stdout


async def test_other_clients_do_what_the_readme_says(tmp_path: Path) -> None:
    java, ours, ask, read_tokens, request = blocks("\n## Integrations\n", "\n## ")
    tail, shown = blocks("\n### Tail\n", "\n### ")
    async with broker() as kafka, model_server() as models:
        models.script["any"] = lambda n, _: "cut?at=8" if n == CUT else "ok"
        environment = {
            "KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "PENSTOCK_MODEL__NAME": "openai/any",
            "PENSTOCK_MODEL__API_BASE": models.api_base,
            "PENSTOCK_RETRY__BASE_MS": "1",
            "PENSTOCK_TELEMETRY__PORT": "0",
        }
        serve = process(*(PENSTOCK, "serve"), says=SERVES, environment=environment, folder=tmp_path)
        async with serve:
            await put_on_path(tmp_path / "bin")
            said = [
                await run(block, kafka.bootstrap_servers, tmp_path)
                for block in (java, ours, ask, read_tokens, request, tail)
            ]

    by_java, by_ours, by_python, tokens, reply, tailed = said
    of_json, of_text = sorted(by_java.splitlines(), key=lambda line: "customer-7" not in line)
    headers, key, value = of_json.split("\t")
    assert "kafka_correlationId:7" in headers.split(",")
    assert key == "customer-7"
    completion = json.loads(value)
    assert (completion["question_id"], completion["answer"]) == ("from-java", ANSWER)
    assert json.loads(of_text.split("\t")[2])["answer"] == "You said Why is the sea salty?"
    assert by_python == f"completed {ANSWER}\n"
    # What the lost connection had said is void; `answer` has the rest alone.
    cut, restart, again, end = tokens.splitlines()
    assert ANSWER.startswith(cut)
    assert cut != again == ANSWER
    assert "connection" in restart
    assert end == f"[completed] {ANSWER}"
    assert reply == f"{ANSWER}\n"
    # The same as by Kafka's own, whose names and values are parted by another sign.
    names = r"(^|,)([\w-]+)="
    alike = [re.sub(names, r"\1\2:", line.partition("\t")[0]) for line in by_ours.splitlines()[:2]]
    assert sorted(alike) == sorted(line.partition("\t")[0] for line in by_java.splitlines())
    assert by_ours.splitlines()[2:] == [ANSWER]
    told = _masked(shown.text)
    assert _masked(tailed)[: len(told)] == told
    *_, envelope = tailed.splitlines()
    # Its key has it there, and it was the first of all.
    assert json.loads(json.loads(envelope)["payload"])["id"] == "from-java"


def _masked(text: str) -> list[str]:
    """Without colours, and without what is another in every run."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    # How far it had come when the connection was lost.
    plain = re.sub(r"You.*\n↻", "-\n↻", plain)
    for other in (r"\d{4}-\d\d-\d\dT[\d:.]+Z", r"\d+/\d+", r"\d+ ms"):
        plain = re.sub(other, "-", plain)
    return plain.splitlines()
