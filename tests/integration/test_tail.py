"""`penstock tail`: kcat's habits on any topic, and what is said about one question."""

import asyncio
import io
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from rich.console import Console

from penstock.cli import tail_run
from penstock.cli.ranges import Meant
from penstock.cli.tail import tail as command
from penstock.errors import ConfigurationError
from penstock.settings import Settings
from tests.support.command import PENSTOCK, Ended, member_environment, penstock, started
from tests.support.kafka import Topics
from tests.support.kafka_tools import kafka_tool
from tests.support.operating import operating
from tests.support.service import settings_for
from tests.support.stage import stage

BINARY = bytes(range(256))
NOW_MS = 1_795_790_000_000
PATIENCE_S = 30.0


async def tailed(
    loaded: Settings,
    topic: str,
    offset: str | None = None,
    *partitions: int,
    terminal: bool = False,
    **asked: Any,
) -> tuple[int, bytes]:
    """Its exit code, and what it prints; on a terminal without colours, 160 wide."""
    usual = dict.fromkeys(("question_id", "count", "format"))
    flags = dict.fromkeys(("follow", "null", "as_json"), False)
    meant = Meant(offset, list(partitions))
    text, out = io.StringIO(), io.BytesIO()
    console = Console(file=text, force_terminal=terminal, color_system=None, width=160)
    asked = {**usual, **flags, **asked}
    code = await tail_run.tail(loaded, tail_run.Asked(topic, meant, **asked), console, out)
    return code, out.getvalue() + text.getvalue().encode()


@dataclass
class Written:
    """A topic of two partitions, and who writes to it."""

    servers: str
    topics: Topics
    topic: str
    producer: AIOKafkaProducer
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = settings_for(self.servers, self.topics, "openai/ok")

    async def tail(self, offset: str | None = None, *partitions: int, **asked: Any) -> bytes:
        code, printed = await tailed(self.settings, self.topic, offset, *partitions, **asked)
        assert code == 0
        return printed

    async def write(
        self,
        value: bytes | None,
        key: bytes | None = b"k",
        partition: int = 0,
        headers: tuple[tuple[str, bytes | None], ...] = (),
        at: int = NOW_MS,
    ) -> None:
        await self.producer.send_and_wait(self.topic, value, key, partition, at, list(headers))


@asynccontextmanager
async def written(servers: str, topics: Topics, **more: str) -> AsyncIterator[Written]:
    topic = topics.create("any", 2)
    producer = AIOKafkaProducer(bootstrap_servers=servers, **more)
    await producer.start()
    try:
        yield Written(servers, topics, topic, producer)
    finally:
        await producer.stop()


async def test_it_prints_as_kcat_does_and_as_kafkas_own_consumer(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with written(bootstrap_servers, topics) as on:
        await on.write(b"first", b"a", headers=(("h", b"1"), ("i", b"2")))
        await on.write(BINARY, None, headers=(("raw", b"\xff"), ("none", None)), at=NOW_MS + 1)
        await on.write(None, b"gone", at=NOW_MS + 2)
        await on.write(b"other", b"b", partition=1, at=NOW_MS + 3)

        assert await on.tail() == b"first\n" + BINARY + b"\n\nother\n"
        letters = r"%t|%p|%o|%T|%k|%K|%S|%R|%h|%s|\x41%%\n"
        topic = on.topic.encode()
        assert await on.tail("beginning", 0, format=letters) == (
            b"%b|0|0|%d|a|1|5|\0\0\0\5|h=1,i=2|first|A%%\n" % (topic, NOW_MS)
            + b"%b|0|1|%d||-1|256|\0\0\1\0|raw=\xff,none=NULL|" % (topic, NOW_MS + 1)
            + BINARY
            + b"|A%\n"
            + b"%b|0|2|%d|gone|4|-1|\xff\xff\xff\xff|||A%%\n" % (topic, NOW_MS + 2)
        )
        assert await on.tail("2", 0, null=True, format="%k %s") == b"gone NULL"

        [binary, gone] = (await on.tail("@1795790000001", 0, as_json=True)).splitlines()
        said = json.loads(binary)
        assert said == {
            "topic": on.topic,
            "partition": 0,
            "offset": 1,
            "tstype": "create",
            "ts": NOW_MS + 1,
            "broker": said["broker"],
            "headers": ["raw", "\ufffd", "none", None],
            "key": None,
            "payload": BINARY.decode(errors="replace"),
        }
        assert said["broker"] >= 0
        assert json.loads(gone)["payload"] is None

        console = await kafka_tool(
            "kafka-console-consumer",
            *("--bootstrap-server", bootstrap_servers, "--topic", on.topic),
            *("--partition", "0", "--offset", "0", "--max-messages", "1"),
            *("--formatter-property", "print.timestamp=true"),
            *("--formatter-property", "print.partition=true"),
            *("--formatter-property", "print.offset=true"),
            *("--formatter-property", "print.key=true"),
        )
        same = r"CreateTime:%T\tPartition:%p\tOffset:%o\t%k\t%s\n"
        assert (await on.tail(":1", 0, format=same)).decode() == console.stdout


async def test_the_last_ones_are_those_of_all_partitions_and_an_offset_is_one_of_each(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with written(bootstrap_servers, topics) as on:
        for number in range(24):
            # The last but one is said to be older than all others.
            at = NOW_MS + (number if number != 22 else 0)
            await on.write(b"%d" % number, partition=number % 2, at=at)
        last = [b"%d" % number for number in range(15, 22)]
        assert (await on.tail()).split()[-9:] == [b"14", *last[:-2], b"20", b"22", b"21", b"23"][
            -9:
        ]
        assert (await on.tail(count=1)).split() == [b"23"]
        # As kcat has it.
        each = (await on.tail("-2")).split()
        assert sorted(each) == [b"20", b"21", b"22", b"23"]
        assert each.index(b"20") < each.index(b"22")
        assert (await on.tail("3:5", 1)).split() == [b"7", b"9"]
        assert len((await on.tail("beginning", count=3)).split()) == 3
        assert await on.tail("end") == b""


async def test_it_ends_where_aborted_records_and_markers_do(
    bootstrap_servers: str, topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    name = topics.name("producer")
    async with written(bootstrap_servers, topics, transactional_id=name) as on:
        async with on.producer.transaction():
            await on.write(b"committed")
        await on.producer.begin_transaction()
        await on.write(b"aborted")
        await on.producer.abort_transaction()
        assert await on.tail() == b"committed\n"
        async with operating(bootstrap_servers, topics) as operator:
            await operator.delete_records("any", before=1)
        capsys.readouterr()
        assert await on.tail("0", 0) == b""
        said = capsys.readouterr().err
        assert said == "penstock: of partition 0 the records before offset 1 are gone\n"


async def test_what_comes_is_printed_at_once_until_nobody_reads_or_it_is_interrupted(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with written(bootstrap_servers, topics) as on:
        await on.write(b"before")
        follow = ("tail", on.topic, "-b", bootstrap_servers, "--follow")
        three = ("-c", "3", "--output", "json")
        async with started(*follow) as process, started(*follow, *three) as counting:

            async def comes(value: bytes) -> None:
                assert process.stdout is not None
                assert counting.stdout is not None
                assert await process.stdout.readline() == value + b"\n"
                line = await counting.stdout.readline()
                assert json.loads(line)["payload"] == value.decode()

            await comes(b"before")
            for value in (b"now", b"then"):
                await on.write(value, partition=1)
                await comes(value)
            assert await counting.wait() == 0
            process.send_signal(signal.SIGINT)
            assert await process.communicate() == (b"", b"")
            assert process.returncode == 130
        for _ in range(20):
            await on.write(b"x" * 10_000)
        shell = f"{PENSTOCK} tail {on.topic} -b {bootstrap_servers} -o 0 -p 0 | head -n 1"
        head = await asyncio.create_subprocess_exec(
            *("bash", "-c", f"{shell}; exit ${{PIPESTATUS[0]}}"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert await head.communicate() == (b"before\n", b"")
        assert head.returncode == 0


WRONG: Mapping[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "a role that is none": (("token",), {}, "no topic 'token'; did you mean tokens?"),
    "a role without a topic": (("tokens",), {}, "is missing; start `penstock serve`"),
    "beyond the end": (("{any}", "7"), {}, "offset 7 is beyond the end of {any}"),
    "in the future": (("{any}", "@2999-01-01"), {}, "2999-01-01T00:00:00.000Z, which is in the"),
    "no partition": (("{any}", None, 2), {}, "--partition 2: {any} has the partitions 0 to 1"),
    "no range": (("{any}", "some"), {}, "--offset some: is none"),
    "no letter": (("{any}",), {"format": "%x"}, "there is no %x; write %s"),
    "an end to follow": (("{any}", "0:1"), {"follow": True}, "the range has an end"),
}


async def test_what_is_not_there_is_said_on_one_line(
    bootstrap_servers: str, topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    async with written(bootstrap_servers, topics) as on:
        for name, ((topic, *words), more, why) in WRONG.items():
            with pytest.raises(ConfigurationError) as wrong:
                await tailed(on.settings, topic.format(any=on.topic), *words, **more)
            assert why.format(any=on.topic) in str(wrong.value), name
            assert "\n" not in str(wrong.value), name
        capsys.readouterr()
        assert await tailed(on.settings, on.topic, question_id="some") == (1, b"")
        said = capsys.readouterr().err
        assert said == f"penstock: none of 0 records of {on.topic} is about some\n"
    for flags, why in (
        ({"format_": "%s", "as_json": True}, "one of --format and --json"),
        ({"question_id": ""}, "--id: is empty"),
    ):
        with pytest.raises(ConfigurationError, match=why):
            command(on.topic, **flags)
    ended = await penstock("tail", "-b", "[::1]:1")
    assert (ended.code, ended.stdout) == (2, "")
    [line] = ended.stderr.splitlines()
    assert line.startswith("penstock: no Kafka answers at [::1]:1")


async def test_what_is_said_about_one_question(
    bootstrap_servers: str, topics: Topics, capsys: pytest.CaptureFixture[str]
) -> None:
    async with stage(bootstrap_servers, topics, 2) as on:
        on.models.script["m"] = lambda n, _: "cut?at=8" if n == 1 else "ok"
        settings = settings_for(bootstrap_servers, topics, "openai/m", on.models.api_base)

        async def tail(*words: Any, **flags: Any) -> Ended:
            capsys.readouterr()
            code, printed = await tailed(settings, *words, **flags)
            return Ended(code, printed.decode(), capsys.readouterr().err)

        async with on.serving("openai/m", retry={"base_ms": 1}) as (_, talk):
            await talk.ask_all(["cut"], key=b"customer", partition=1)
            events = await talk.ended("cut")
            nameless = await talk.ask({"question": "Why?"}, partition=1)
            place = f"{talk.topics.questions}/1/{nameless}"
            await talk.ask({"id": "bad"}, key=b"customer", partition=0)
            await talk.completions(3)

            # What was cut off is seen to be void.
            ended = await tail("tokens", question_id="cut")
            assert (ended.code, ended.stderr) == (0, "penstock: cut: completed\n")
            first, restart, again = ended.stdout.splitlines()
            assert restart.startswith("↻ starting over: ")
            assert again == "You said cut"
            assert again.startswith(first)
            raw = await tail("tokens", question_id="cut", format=r"%s\n")
            assert [json.loads(line) for line in raw.stdout.splitlines()] == events

            # By where it stands; only its partition is read.
            ended = await tail("tokens", question_id=place)
            assert ended == Ended(0, "You said Why?\n", f"penstock: {place}: completed\n")
            assert (await tail("tokens", None, 0, question_id=place)).code == 1
            for role in ("questions", "completions"):
                ended = await tail(role, question_id=place, format="%p %s")
                assert ended.stdout.startswith('1 {"'), role
            for id_ in ("bad", f"{talk.topics.questions}/0/0"):
                assert await tail("dead-letters", question_id=id_) == Ended(
                    0, '{"id": "bad"}\n', ""
                )

            async def lines(*words: Any) -> list[list[str]]:
                """Without the times."""
                ended = await tail(*words, terminal=True)
                return [line.split()[1:] for line in ended.stdout.splitlines()]

            by_id = {line[1]: line[2:] for line in await lines("completions")}
            assert by_id["cut"][:2] == ["completed", "qa"]
            assert by_id["cut"][-3:] == ["You", "said", "cut"]
            assert by_id["bad"][:3] == ["failed", "RECORD", "invalid_field:"]
            [dead] = await lines("dead-letters")
            assert dead[:4] == ["0/0", "bad", "RECORD", "invalid_field"]
            assert await lines("questions", None, 1) == [
                ["1/0", "cut", "key", "customer", "cut"],
                ["1/1", place, "Why?"],
            ]
            tokens = await lines("tokens", "beginning", 1)
            kinds = [line[3] for line in tokens if line[1] == "cut"]
            assert (kinds[0], kinds[-1]) == ("answer:", "end")
            assert "restart" in kinds


async def test_a_question_is_followed_until_it_ends(bootstrap_servers: str, topics: Topics) -> None:
    async with stage(bootstrap_servers, topics) as on, on.serving("openai/held") as (_, talk):
        settings = settings_for(bootstrap_servers, topics, "openai/held", on.models.api_base)
        follow = ("tail", "tokens", "--id", "held", "--follow")
        async with started(*follow, env=member_environment(settings)) as process:
            await talk.ask_all(["held"])
            assert process.stdout is not None
            heard = await asyncio.wait_for(process.stdout.read(8), PATIENCE_S)
            assert heard
            assert process.returncode is None
            on.models.let_end()
            stdout, stderr = await process.communicate()
            assert (heard + stdout).decode() == "You said held\n"
            assert stderr == b"penstock: held: completed\n"
            assert await process.wait() == 0
        # It has ended: nothing is waited for.
        code, printed = await tailed(settings, "completions", question_id="held", follow=True)
        assert (code, json.loads(printed)["status"]) == (0, "completed")
