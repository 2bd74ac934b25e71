"""Asking over Kafka: the client, and `penstock ask`."""

import asyncio
import io
import json
import re
import shlex
import signal
from pathlib import Path

import pytest
from rich.console import Console

from penstock.cli import ask_one
from penstock.cli.ask_door import KafkaDoor
from penstock.cli.connecting import Way
from penstock.cli.transcript import Transcript
from penstock.client import Event, HttpClient, KafkaClient
from penstock.errors import ConfigurationError
from penstock.events.completion import Completion
from penstock.events.texts import Texts
from penstock.events.token import End, Progress, Restart, Token
from penstock.gateway.tokens import digest, new_token
from penstock.kafka.answers import BACKLOG, Inbox
from tests.support.command import environment, penstock, started
from tests.support.gateway import running_gateway
from tests.support.kafka import Topics
from tests.support.model_server import model_server
from tests.support.service import running_service, settings_for


def client_of(bootstrap_servers: str, topics: Topics) -> KafkaClient:
    return KafkaClient(
        bootstrap_servers,
        questions=topics.name("questions"),
        tokens=topics.name("tokens"),
        completions=topics.name("completions"),
    )


def token(text: str, sequence: int = 0, field: str = "answer") -> Token:
    return Token(
        question_id="q",
        sequence=sequence,
        attempt=1,
        field=field,
        text=text,
        step="self",
        call=0,
        output=field == "answer",
    )


def restart(reason: str) -> Restart:
    return Restart(question_id="q", sequence=9, attempt=2, reason=reason)


async def test_the_tokens_come_in_order_and_the_completion_last(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/echo", models.api_base),
        client_of(bootstrap_servers, topics) as client,
    ):
        events: list[Event] = [event async for event in client.stream("one two three", key="k")]

    *tokens, end, completion = events
    texts = Texts()
    for event in tokens:
        texts.add(event)
    assert isinstance(completion, Completion)
    assert isinstance(end, End)
    assert completion.status == end.status == "completed"
    assert texts.fields() == completion.outputs == {"answer": "one two three"}
    said = [event.sequence for event in (*tokens, end) if not isinstance(event, Completion)]
    assert said == list(range(len(said)))
    assert completion.last_sequence == said[-1]


async def test_many_at_once_get_each_their_own_answer(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/echo", models.api_base),
        client_of(bootstrap_servers, topics) as client,
    ):
        asked = [f"question {number}" for number in range(50)]
        completions = await asyncio.gather(*(client.ask(text) for text in asked))

    assert [completion.answer for completion in completions] == asked


async def test_two_who_use_the_same_id_get_each_their_own_completion(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/echo", models.api_base),
        client_of(bootstrap_servers, topics) as one,
        client_of(bootstrap_servers, topics) as other,
    ):
        completions = await asyncio.gather(
            *(
                client.ask("hello", question_id="same", metadata={"number": number})
                for number, client in enumerate((one, one, other))
            )
        )

    assert [completion.metadata for completion in completions] == [
        {"number": 0},
        {"number": 1},
        {"number": 2},
    ]
    assert len({completion.source.model_dump_json() for completion in completions}) == 3


async def test_a_question_that_fails_says_why(bootstrap_servers: str, topics: Topics) -> None:
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/ok", models.api_base),
        client_of(bootstrap_servers, topics) as client,
    ):
        completion = await client.ask({"question": "hi"}, program="none", metadata={"a": 1})

    assert completion.status == "failed"
    assert completion.error is not None
    assert completion.error.code == "unknown_program"


async def test_a_missing_topic_is_one_line_that_says_what_to_start(
    bootstrap_servers: str, topics: Topics
) -> None:
    with pytest.raises(ConfigurationError, match="penstock serve"):
        async with client_of(bootstrap_servers, topics):
            pass


async def test_without_kafka_the_error_says_how_to_get_one(topics: Topics) -> None:
    with pytest.raises(ConfigurationError, match="penstock broker"):
        # Nothing listens on the discard port.
        async with client_of("127.0.0.1:9", topics):
            pass


def test_what_is_no_question_is_refused_before_anything_is_sent(topics: Topics) -> None:
    with pytest.raises(ValueError, match="question"):
        client_of("unused:1", topics).stream("")


async def test_a_reader_far_behind_loses_its_tokens_but_not_the_end() -> None:
    inbox = Inbox()
    for sequence in range(BACKLOG + 10):
        inbox.put(0, token("x", sequence))
    inbox.put(0, End(question_id="q", sequence=BACKLOG + 10, attempt=1, status="completed"))

    _, first = await inbox.get()
    _, second = await inbox.get()

    assert isinstance(first, Restart)
    assert "too far behind" in first.reason
    assert isinstance(second, End)


def test_a_stream_that_begins_again_voids_what_was_said() -> None:
    texts = Texts()
    for event in (token("cut", 0), token(" off", 1), token("whole", 0), token(" answer", 1)):
        texts.add(event)

    assert texts["answer"] == "whole answer"


def test_a_restart_voids_what_was_said() -> None:
    texts = Texts()
    for event in (token("wrong"), restart("again"), token("ri", 10), token("ght", 11)):
        texts.add(event)

    assert texts["answer"] == "right"
    assert texts["reasoning"] == ""


def test_on_a_terminal_steps_are_named_and_a_restart_begins_on_a_new_line() -> None:
    screen = io.StringIO()
    transcript = Transcript(Console(file=screen, force_terminal=True, color_system=None))
    for event in (
        token("because", field="reasoning"),
        token("wro\x1b[2Jng"),
        Progress(question_id="q", sequence=2, attempt=1, text="tool search"),
        restart("the stream broke"),
        token("right"),
    ):
        transcript.show(event)
    transcript.close()

    assert screen.getvalue().splitlines() == [
        "reasoning: because",
        "wro[2Jng",
        "· tool search",
        "↻ starting over: the stream broke",
        "right",
    ]


async def test_the_command_prints_the_answer_alone_where_nobody_watches(
    bootstrap_servers: str, topics: Topics
) -> None:
    env = environment(settings_for(bootstrap_servers, topics, "openai/echo"))
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/echo", models.api_base),
    ):
        plain, read, events, failed, unasked = await asyncio.gather(
            penstock("ask", "Why?", env=env),
            penstock("ask", "-", env=env, stdin="From a pipe\n"),
            penstock("ask", "--output", "json", "-i", "question=As events", env=env),
            penstock("ask", "--program", "none", "Why?", env=env),
            penstock("ask", env=env),
        )

    assert (plain.code, plain.stdout, plain.stderr) == (0, "Why?\n", "")
    assert (read.code, read.stdout) == (0, "From a pipe\n")
    types = [json.loads(line)["type"] for line in events.stdout.splitlines()]
    assert types[0] == "token"
    assert types[-2:] == ["end", "completion"]
    assert (failed.code, failed.stdout) == (1, "")
    assert failed.stderr.startswith("penstock: failed (RECORD unknown_program): ")
    assert unasked.code == 2


async def test_a_file_is_asked_line_by_line(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    env = environment(settings_for(bootstrap_servers, topics, "openai/echo"))
    file = tmp_path / "questions.jsonl"
    file.write_text(
        '"one"\n\n{"question": "two", "metadata": {"from": "me"}}\nno json\n{"inputs": 3}\n'
    )
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/echo", models.api_base),
    ):
        some, every, none = await asyncio.gather(
            penstock("ask", "--file", str(file), "--concurrency", "1", env=env),
            penstock("ask", "--file", "-", env=env, stdin='"a"\n"b"\n"c"'),
            penstock("ask", "--file", "-", env=env, stdin='{"question": "x", "program": "y"}'),
        )

    completions = [json.loads(line) for line in some.stdout.splitlines()]
    assert some.code == 3
    assert [(each["answer"], each["metadata"]) for each in completions] == [
        ("one", {"line": 1}),
        ("two", {"line": 3, "from": "me"}),
    ]
    assert [line.split(":")[1] for line in some.stderr.splitlines()] == [" line 4", " line 5"]
    assert every.code == 0
    assert sorted(json.loads(line)["answer"] for line in every.stdout.splitlines()) == [*"abc"]
    assert none.code == 1
    assert json.loads(none.stdout)["error"]["code"] == "unknown_program"


async def test_where_nothing_serves_the_command_gives_up(
    bootstrap_servers: str,
    topics: Topics,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    settings = settings_for(bootstrap_servers, topics, "openai/echo")
    for name in ("questions", "tokens", "completions"):
        await asyncio.to_thread(topics.create, name)
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(ask_one, "PATIENCE", 0.1)

    async def asked(seconds: float | None) -> list[str]:
        code = await asyncio.to_thread(
            ask_one.run,
            KafkaDoor(Way()),
            {"question": "Anybody?"},
            None,
            None,
            seconds,
            as_json=False,
        )
        assert code == 1
        return capsys.readouterr().err.splitlines()

    (of_one_that_has_expired,) = await asked(0.1)
    monkeypatch.setattr(ask_one, "WAIT", 0.2)
    of_one_without_a_deadline, how_to_end_it = await asked(None)

    why = (
        "is `penstock serve` running on these brokers and topics, "
        "and neither paused nor its gate shut? (penstock status)"
    )
    assert f"within 0.1 s; {why}" in of_one_that_has_expired
    assert f"within 0.2 s; {why}" in of_one_without_a_deadline
    assert " penstock cancel " in how_to_end_it


async def test_a_question_has_the_deadline_of_its_program_unless_it_is_asked_with_another(
    bootstrap_servers: str, topics: Topics
) -> None:
    env = environment(settings_for(bootstrap_servers, topics, "openai/echo"))
    programs = {
        "quick": {"entry": "question -> answer", "timeout_ms": 300},
        "slow": {"entry": "question -> answer", "timeout_ms": 100_000},
    }
    lines = [{"question": "?", "program": "quick"}, {"question": "?", "timeout_ms": 200}]
    async with (
        model_server() as models,
        running_service(
            *(bootstrap_servers, topics, "openai/hang-before", models.api_base), programs=programs
        ),
    ):
        ended = await asyncio.gather(
            penstock("ask", "Why?", env=env),
            penstock("ask", "--program", "slow", "--timeout", "0.4", "Why?", env=env),
            penstock("ask", "--file", "-", env=env, stdin="\n".join(map(json.dumps, lines))),
        )

    by_program, by_option, file = ended
    for one in (by_program, by_option):
        assert (one.code, one.stdout) == (1, "")
        assert one.stderr.startswith("penstock: expired (DEADLINE ")
    assert (file.code, file.stderr) == (1, "")
    completions = [json.loads(line) for line in file.stdout.splitlines()]
    assert [each["status"] for each in completions] == ["expired", "expired"]


async def test_who_no_longer_waits_is_told_how_to_end_what_goes_on(
    bootstrap_servers: str, topics: Topics
) -> None:
    env = environment(settings_for(bootstrap_servers, topics, "openai/echo"))
    broker = ("-b", bootstrap_servers)
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/hang-before", models.api_base),
        started("ask", *broker, "Why?", env=env) as one,
        started("ask", "--file", "-", env=env) as file,
    ):
        assert file.stdin is not None
        file.stdin.write(b'"one"\n{"question": "two", "id": "my own"}\n')
        file.stdin.close()
        await models.called(3)
        ways = []
        for asking in (one, file):
            asking.send_signal(signal.SIGINT)
            stdout, stderr = await asking.communicate()
            assert (asking.returncode, stdout) == (130, b"")
            (line,) = stderr.decode().splitlines()
            ways.append(shlex.split(re.sub(".*: penstock ", "", line)))
        assert ways[0][:3] == ["cancel", *broker]
        assert len(ways[0]) == 4
        assert len(ways[1]) == 3
        assert "my own" in ways[1]

        for way in ways:
            assert (await penstock(*way, env=env)).code == 0
        await models.disconnected(3)


async def test_what_an_expired_question_had_said_is_printed_where_the_service_tells_it(
    bootstrap_servers: str, topics: Topics
) -> None:
    env = environment(settings_for(bootstrap_servers, topics, "openai/echo"))
    async with (
        model_server() as models,
        running_service(
            *(bootstrap_servers, topics, "openai/hang-during?at=8", models.api_base),
            deadline={"partial": True},
        ),
    ):
        ended = await penstock("ask", "--timeout", "2", "Why?", env=env)

    assert ended.code == 1
    assert ended.stdout.startswith("You said")
    assert ended.stderr.startswith("penstock: expired (DEADLINE ")


async def test_over_a_gateway_the_command_says_the_same(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    token = new_token()
    (tmp_path / "token").write_text(f"{token}\n")
    (tmp_path / "tokens.toml").write_text(f'[ana]\nsha256 = "{digest(token).hex()}"\n')
    known = {"tokens": str(tmp_path / "tokens.toml")}
    lines = '"a"\n{"question": "b", "program": "none"}\n"c"\nno json\n""'
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/echo", models.api_base),
        running_gateway(bootstrap_servers, topics, gateway=known) as gateway,
    ):
        over = ("--gateway", gateway.address)
        by_file = (*over, "--token-file", str(tmp_path / "token"))
        env = {"PENSTOCK_TOKEN": token}
        plain, events, failed, file, nowhere, nobody = await asyncio.gather(
            penstock("ask", *by_file, "Why?"),
            penstock("ask", *over, "--output", "json", "-i", "question=As events", env=env),
            penstock("ask", *by_file, "--program", "none", "Why?"),
            penstock("ask", *over, "--file", "-", stdin=lines, env=env),
            penstock("ask", "--gateway", "http://127.0.0.1:9", "Why?"),
            penstock("ask", *over, "Why?"),
        )

    assert (plain.code, plain.stdout, plain.stderr) == (0, "Why?\n", "")
    types = [json.loads(line)["type"] for line in events.stdout.splitlines()]
    assert (types[0], types[-2:]) == ("token", ["end", "completion"])
    assert (failed.code, failed.stdout) == (1, "")
    assert failed.stderr.startswith("penstock: failed (RECORD unknown_program): ")
    assert file.code == 3
    ends = [json.loads(line) for line in file.stdout.splitlines()]
    assert sorted(str(each["answer"]) for each in ends) == ["None", "a", "c"]
    assert [line.split(":")[1] for line in file.stderr.splitlines()] == [" line 4", " line 5"]
    assert nowhere.code == 2
    assert "no gateway answers at http://127.0.0.1:9: " in nowhere.stderr
    assert (nobody.code, nobody.stdout) == (2, "")
    assert f"the gateway at {gateway.address} does not let us in: " in nobody.stderr


async def test_who_no_longer_waits_for_a_gateway_is_told_how_to_end_what_goes_on(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with (
        model_server() as models,
        running_service(bootstrap_servers, topics, "openai/hang-before", models.api_base),
        running_gateway(bootstrap_servers, topics) as gateway,
        started(
            *("ask", "--gateway", gateway.address, "--file", "-"), env={"PENSTOCK_TOKEN": "secret"}
        ) as asking,
    ):
        assert asking.stdin is not None
        asking.stdin.write(b'{"question": "?", "id": "a/b"}\n')
        asking.stdin.close()
        await models.called()
        asking.send_signal(signal.SIGINT)
        stdout, stderr = await asking.communicate()
        assert (asking.returncode, stdout) == (130, b"")
        assert stderr.decode().endswith(
            'to end that: curl -X POST -H "Authorization: Bearer $PENSTOCK_TOKEN" '
            f"{gateway.address}/v1/questions/a%2Fb/cancel\n"
        )
        async with HttpClient(gateway.address) as client:
            await client.cancel("a/b")
        await models.disconnected()


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--gateway", "http://h", "--token", "secret"), "whoever lists processes"),
        (("--gateway", "http://h", "-b", "h:1"), "leave out what says how to reach Kafka"),
        (("--gateway", "h:8080"), "no address of a gateway"),
        (("--gateway", "http://h", "--token-file", "none"), "--token-file none: "),
        (("--token-file", "none"), "is for --gateway"),
    ],
)
async def test_what_does_not_go_together_is_refused(options: tuple[str, ...], why: str) -> None:
    ended = await penstock("ask", *options, "Why?")
    assert (ended.code, ended.stdout) == (2, "")
    assert why in ended.stderr
    assert "secret" not in ended.stderr
