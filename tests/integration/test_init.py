"""`penstock init`: a project that runs as it is, with `run`, `demo` and `serve`."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest
import yaml

from penstock.cli.init import FILES, group_name
from tests.support.command import PENSTOCK, environment, penstock, started
from tests.support.kafka import Topics
from tests.support.model_server import ModelServer, model_server
from tests.support.processes import SERVES, command, process
from tests.support.service import settings_for

ROOT = Path(__file__).parents[2]


def openai(server: ModelServer) -> dict[str, str]:
    """What a user of OpenAI has set; the project's model is one of theirs."""
    server.script["gpt-4o-mini"] = lambda *_: "ok"
    return {"OPENAI_BASE_URL": server.api_base, "OPENAI_API_KEY": "sk-mine"}


async def begun(folder: Path) -> Path:
    ended = await penstock("init", "desk", cwd=folder)
    assert (ended.code, ended.stderr) == (0, "")
    return folder / "desk"


async def test_it_writes_a_project_and_overwrites_nothing(tmp_path: Path) -> None:
    made = await penstock("init", "Help desk", cwd=tmp_path)
    desk = tmp_path / "Help desk"
    written = {file.name: file.read_text() for file in desk.iterdir()}
    again = await penstock("init", cwd=desk)
    (desk / "program.py").unlink()
    (desk / "README.md").write_text("mine")
    amid = await penstock("init", cwd=desk)

    assert written.keys() == set(FILES.values())
    for name in FILES.values():
        assert f"wrote Help desk/{name}\n" in made.stdout
    assert "\n    cd 'Help desk'\n" in made.stdout
    assert "my-project" not in "".join(written.values())
    assert 'group_id = "help-desk"' in written["penstock.toml"]
    assert again.code == amid.code == 2
    assert again.stderr.startswith(f"penstock: already there: {', '.join(FILES.values())}; nothing")
    # None at all, as one was there.
    assert (desk / "README.md").read_text() == "mine"
    assert not (desk / "program.py").exists()


@pytest.mark.parametrize(
    ("folder", "group"), [("Help desk (2)", "help-desk-2"), ("a.b_c", "a.b_c"), ("Ω", "my-project")]
)
def test_a_group_is_called_as_its_folder(folder: str, group: str) -> None:
    assert group_name(folder) == group


async def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    inside = await penstock("init", "file/desk", cwd=tmp_path)

    assert inside.code == 2
    assert inside.stderr == "penstock: cannot write file/desk: Not a directory\n"


async def test_the_compose_file_has_the_kafka_of_ours(tmp_path: Path) -> None:
    desk = await begun(tmp_path)
    ours = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    project = yaml.safe_load((desk / "docker-compose.yml").read_text())

    assert project["services"]["kafka"] == ours["services"]["kafka"]
    service = project["services"]["service"]
    assert service["healthcheck"] == ours["services"]["penstock"]["healthcheck"]
    # Where the image looks for programs and settings.
    assert service["volumes"] == [".:/app:ro"]
    assert "WORKDIR /app\n" in (ROOT / "deploy" / "Dockerfile").read_text()
    broker = project["services"]["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"://{service['environment']['PENSTOCK_KAFKA__BOOTSTRAP_SERVERS']}" in broker


async def test_run_and_serve_take_it_as_it_is(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    desk = await begun(tmp_path)
    async with model_server() as models:
        model = openai(models)
        settings = settings_for(bootstrap_servers, topics, "openai/any")
        names = settings.topics
        topics.created += [
            *(names.questions, names.tokens, names.completions, names.control, names.dead_letters)
        ]
        own = environment(settings) | model | {"PENSTOCK_TOPICS__DEAD_LETTERS": names.dead_letters}
        serve = process(
            *(PENSTOCK, "serve"),
            says=SERVES,
            environment={**own, "PENSTOCK_TELEMETRY__PORT": "0"},
            folder=desk,
        )
        async with serve as serving:
            run, asked, empty, tested = await asyncio.gather(
                penstock("run", "Why?", env=model, cwd=desk),
                penstock("ask", "--output", "json", "Why?", env=own, cwd=desk),
                penstock("ask", "-i", "question= ", env=own, cwd=desk),
                # Which neither the service nor its model takes part in.
                command(sys.executable, "-m", "pytest", "-q")({**os.environ}, desk),
            )
            assert await tested.wait() == 0
            assert await serving.terminate() == 0

    assert (run.code, run.stdout, run.stderr) == (0, "You said Why?\n", "")
    assert asked.code == 0
    assert '"text":"You' in asked.stdout
    assert '"group":"desk"' in asked.stdout
    assert empty.stderr == "penstock: failed (RECORD rejected): the question is empty\n"


@pytest.mark.time_limit(180)
async def test_the_demo_serves_it_by_a_model_of_this_machine(tmp_path: Path) -> None:
    desk = await begun(tmp_path)
    async with started("demo", "--keep", "--questions", "1", cwd=desk) as demo:
        assert demo.stdout is not None
        said = ""
        # The last thing it says, in a project and outside of one.
        while not re.search("penstock serve|make test", said):
            line = (await demo.stdout.readline()).decode()
            assert line, (await demo.communicate())[1].decode()
            said += line
        [address] = re.findall(r"penstock ask -b (\S+)", said)
        asked = await penstock("ask", "--output", "json", "-b", address, "Why?", cwd=desk)
        demo.send_signal(signal.SIGINT)
        await demo.communicate()

    assert ", in place of openai/gpt-4o-mini\n" in said
    assert "[1/1] Why is the sky blue? (" in said
    assert asked.code == 0
    assert '"group":"desk"' in asked.stdout
    assert '"model":"openai/gpt-4o-mini"' not in asked.stdout
    assert demo.returncode == 0
