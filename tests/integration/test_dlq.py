"""`penstock dlq` on a real Kafka: what an operator sees, and what goes back to the questions."""

import json
import signal
from collections import Counter
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from penstock.cli.dlq_progress import progress
from penstock.clock import Clock
from penstock.replay.redriving import Tally
from tests.support.command import started
from tests.support.kafka import Topics
from tests.support.letters import Morgue, morgue
from tests.support.operating import operating

THEIRS = (("trace", b"\xff\x00"), ("empty", b""), ("twice", b"1"), ("twice", b"2"))


async def test_what_went_back_is_what_was_asked_and_goes_once(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with morgue(bootstrap_servers, topics) as dead:
        value = b' {"id": "exact", "question": "\\u003f", "unknown": 1}\n'
        await dead.letter(3, value, b"\xffkey", THEIRS, style="spring")
        await dead.letter(1, b"\xfe no text", None, THEIRS, style="connect", kind="RECORD")
        await dead.many(40)
        await dead.letter(0, {"id": "other"}, topic="another.questions")
        await dead.letter(0, {"id": "thrice"}, None, (("penstock-redrives", b"3"),))
        before = await dead.ends()

        dry = await dead.typed("redrive")
        assert (dry.code, await dead.ends()) == (0, before), "a dry run writes nothing"
        assert dry.stdout.splitlines()[0] == "42 would be redriven, by the id all"
        assert "1 refused: redriven 3 times or more before (--max-redrives)" in dry.stdout
        assert "1 left out: they were questions on another.questions" in dry.stderr

        first = await dead.dlq("redrive", "--execute", "--output", "json")
        assert first.code == 3, first.stderr
        assert json.loads(first.stdout)["redriven"] == 42
        again = await dead.dlq("redrive", "--execute", "--output", "json")
        assert (again.code, json.loads(again.stdout)["redriven"]) == (0, 0), again.stderr
        assert json.loads(again.stdout)["before"] == 44

        asked = await dead.read()
        assert Counter(json.loads(one.value)["id"] for one in asked if one.value[0] != 0xFE) == (
            Counter(["exact", *(f"q{number}" for number in range(40))])
        )
        [exact] = [one for one in asked if one.value == value]
        letter = f"all/{topics.name('dead-letters')}/1/0".encode()
        ours = (("penstock-redrive", letter), ("penstock-redrives", b"1"))
        assert (exact.partition, exact.key, exact.headers) == (3, b"\xffkey", THEIRS + ours)
        [other] = [one for one in asked if one.value == b"\xfe no text"]
        assert (other.partition, other.key, other.headers[:4]) == (1, None, THEIRS)
        # In the order in which they were given up.
        ids = [json.loads(one.value)["id"] for one in asked if one.partition == 2]
        assert ids == [f"q{number}" for number in range(2, 40, 4)]

        # What fails again, and what is new, goes by the same command; a third failure stays.
        await dead.letter(3, value, b"\xffkey", exact.headers)
        assert (await dead.dlq("redrive", "--execute")).code == 0
        twice = [one for one in await dead.read() if one.value == value][-1]
        assert twice.headers[: len(THEIRS)] == THEIRS
        assert dict(twice.headers)["penstock-redrives"] == b"2"
        assert len(twice.headers) == len(THEIRS) + 2


async def test_what_is_killed_in_the_middle_goes_on_with_each_of_them_once(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with morgue(bootstrap_servers, topics) as dead:
        await dead.many(200)
        words = ("dlq", "redrive", "--execute", "--rate", "100")
        async with started(*words, env=dead.env) as process:
            await _some_went(dead)
            process.kill()
            await process.wait()
        killed = len(await dead.read())
        async with started(*words, env=dead.env) as process:
            await _some_went(dead, killed)
            process.send_signal(signal.SIGTERM)
            _, told = await process.communicate()
        assert process.returncode == 130, told
        assert b"the same command goes on" in told
        assert killed < len(await dead.read()) < 200
        # Whoever comes second ends the first.
        async with started(*words[:3], "--rate", "1", env=dead.env) as process:
            await _some_went(dead, len(await dead.read()))
            ended = await dead.dlq("redrive", "--execute")
            _, told = await process.communicate()
        assert (ended.code, process.returncode) == (0, 1), ended.stderr
        assert b"another process has begun as penstock.redrive." in told
        assert b"Traceback" not in told, told.decode()

        ids = Counter(json.loads(one.value)["id"] for one in await dead.read())
        assert ids == Counter(f"q{number}" for number in range(200))


async def _some_went(dead: Morgue, more_than: int = 0) -> None:
    while len(await dead.read()) <= more_than:
        pass


async def test_what_is_selected_has_a_name_of_its_own_and_keeps_it(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with morgue(bootstrap_servers, topics) as dead:
        await dead.letter(0, {"id": "a", "program": "qa", "metadata": {"tenant": "acme", "n": 1}})
        await dead.letter(1, {"id": "b", "metadata": {"tenant": "acme"}}, kind="ANSWER")
        await dead.letter(1, b"no json", code="not_json", kind="RECORD")
        acme = ("--where", "metadata.tenant=acme", "--id", "acme")

        patch = '{"program": null, "inputs": {"question": "Why?"}}'
        ended = await dead.dlq("redrive", *acme, "--edit", patch, "--execute")
        assert (ended.code, ended.stdout) == (0, "2 redriven, by the id acme\n"), ended.stderr
        found = [json.loads(one.value) for one in await dead.read()]
        assert found[0] == {
            "id": "a",
            "metadata": {"tenant": "acme", "n": 1},
            "inputs": {"question": "Why?"},
        }
        ended = await dead.dlq("redrive", "--id", "acme", "--execute")
        assert (ended.code, ended.stdout) == (2, "")
        assert "--id acme was used for another selection (--where metadata.tenant=acme" in (
            ended.stderr
        )
        # By another name it goes once more, and what is no JSON cannot be edited.
        ended = await dead.dlq("redrive", "--partition", "1", "--edit", patch, "--execute")
        assert ended.code == 3, ended.stderr
        assert "1 redriven, by the id " in ended.stdout
        assert "1 refused: the value is no JSON object, as --edit needs\n  1/1" in ended.stdout
        assert len(await dead.read()) == 3


async def test_a_batch_of_them_is_no_larger_than_the_topic_takes(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with morgue(bootstrap_servers, topics, {"max.message.bytes": "3000"}) as dead:
        for number in range(20):
            await dead.letter(0, {"id": f"q{number}", "question": "?" * 1000})
        await dead.letter(0, {"id": "large", "question": "?" * 3000})
        ended = await dead.dlq("redrive", "--execute")
        assert ended.code == 3, ended.stderr
        assert "1 refused: larger than the 3000 bytes" in ended.stdout
        assert len(await dead.read()) == 20


async def test_what_a_range_left_behind_as_time_went_on_is_not_lost(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with morgue(bootstrap_servers, topics) as dead:
        await dead.many(20)
        words = ("redrive", "--offset", "-10", "--execute")
        async with started("dlq", *words, "--rate", "5", env=dead.env) as process:
            await _some_went(dead)
            process.send_signal(signal.SIGTERM)
            await process.wait()
        assert (process.returncode, len(await dead.read()) < 20) == (130, True)
        # The last ten of each partition are others now.
        await dead.many(20)
        ended = await dead.dlq(*words)
        assert ended.code == 0, ended.stderr
        assert len(await dead.read()) == 40


async def test_what_kafka_has_forgotten_does_not_go_twice(
    bootstrap_servers: str, topics: Topics
) -> None:
    """A group without members loses its offsets a week after its last commit."""
    async with (
        morgue(bootstrap_servers, topics) as dead,
        operating(bootstrap_servers, topics) as operator,
    ):
        await dead.many(10)
        assert (await dead.dlq("redrive", "--execute")).code == 0
        await operator.forget_group(f"penstock.redrive.{topics.name('dead-letters')}.all")
        await dead.many(1)
        ended = await dead.dlq("redrive", "--execute")
        assert ended.code == 0, ended.stderr
        assert "Kafka has forgotten how far" in ended.stderr
        assert len(await dead.read()) == 11
        # Nor is another topic by the same name taken for the one of before.
        await operator.recreate("dead-letters")
        ended = await dead.typed("redrive")
        assert (ended.code, ended.stdout) == (2, "")
        assert "the topic was made anew, take another --id" in ended.stderr


async def test_a_list_and_one_of_it(bootstrap_servers: str, topics: Topics) -> None:
    async with morgue(bootstrap_servers, topics) as dead:
        noon = 1_795_434_000_000
        await dead.letter(0, {"id": "old", "question": "?"}, timestamp_ms=noon)
        await dead.letter(
            1, b"\x00\xff", b"k", THEIRS, timestamp_ms=noon + 1, kind="RECORD", code="not_utf8",
            message="not \x1b[31m UTF-8",
        )  # fmt: skip
        await dead.letter(2, {"id": "new", "question": "?"}, timestamp_ms=noon + 3_600_000)

        ended = await dead.typed("ls")
        assert ended.code == 0, ended.stderr
        names, old, odd, new = (line.split() for line in ended.stdout.splitlines())
        assert names == ["time", "at", "kind", "code", "program", "id", "message"]
        assert old[:6] == [
            "2026-11-23T11:40:00Z", "0/0", "UPSTREAM", "model_error", "qa", "old",
        ]  # fmt: skip
        assert " ".join(odd[5:]) == f"{topics.name('questions')}/1/1 not \\x1b[31m UTF-8"
        assert new[5] == "new"

        ended = await dead.typed(
            "ls", "--where", "kind=UPSTREAM", "--limit", "1", "--output", "json"
        )
        [found] = [json.loads(line) for line in ended.stdout.splitlines()]
        assert ended.stderr == "penstock: and 1 more before; --limit shows more of them\n"
        assert (found["id"], found["partition"], found["offset"]) == ("new", 0, 1)
        assert found["value"] == '{"id": "new", "question": "?"}'
        assert found["origin"]["partition"] == 2
        ended = await dead.typed("ls", "--limit", "1")
        assert "and 2 more before" in ended.stderr

        ended = await dead.typed("show", "1/0")
        assert ended.code == 0, ended.stderr
        assert "trace                        0xff00" in ended.stdout
        assert "key: k\nvalue: 2 bytes\n00000000  00 ff" in ended.stdout
        async with started("dlq", "show", "1/0", "--raw", env=dead.env) as process:
            raw, _ = await process.communicate()
        assert raw == b"\x00\xff"
        ended = await dead.typed("show", "0/1")
        assert '\n{"id": "new", "question": "?"}\n' in ended.stdout

        await dead.marker(1)
        ended = await dead.typed("show", "1/2")
        assert ended.code == 2
        assert ended.stderr == "penstock: 1/2: no dead letter stands there, nor behind it\n"
        ended = await dead.typed("show", "1/3")
        assert "is beyond the end: the last one is 2" in ended.stderr

        ended = await dead.typed("stats", "--where", "group=desk", "--output", "json")
        first, second = (json.loads(line) for line in ended.stdout.splitlines())
        assert (first["kind"], first["total"], len(first["buckets"])) == ("UPSTREAM", 2, 2)
        assert second["buckets"] == [{"from": "2026-11-23T11:00:00.000Z", "count": 1}]
        ended = await dead.typed("stats", "--where", "group=desk")
        assert ended.stdout.splitlines()[-2:] == [
            "2026-11-23 11:00                     1                1",
            "2026-11-23 12:00                     1                .",
        ]


async def test_a_purge_takes_what_is_before_and_nothing_else(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with morgue(bootstrap_servers, topics) as dead:
        await dead.many(10)
        ended = await dead.typed("purge", "--before", "2", "--output", "json")
        assert (ended.code, await _starts(dead)) == (0, [0, 0]), ended.stderr
        said = [json.loads(line) for line in ended.stdout.splitlines()]
        assert [(one["records"], one["deleted"]) for one in said] == [(2, False)] * 2

        ended = await dead.typed("purge", "--before", "2", "--partition", "1", "--execute")
        assert (ended.code, await _starts(dead)) == (0, [0, 2]), ended.stderr
        assert ended.stdout == "deleted 2 of partition 1: 0 to 1\n"
        ended = await dead.typed("show", "1/1")
        assert ended.code == 2
        assert "the first one that the retention has left is 2" in ended.stderr
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AIOKafkaAdminClient, "delete_records", _first_does_not_answer())
            ended = await dead.typed("purge", "--before", "3", "--execute")
        assert (ended.code, await _starts(dead)) == (3, [0, 3])
        assert ended.stdout == "deleted 1 of partition 1: 2 to 2\n"
        assert "Kafka does not answer, and may have deleted them" in ended.stderr
        ended = await dead.typed("purge", "--before", "-1", "--execute")
        assert (ended.code, await _starts(dead)) == (0, [4, 4]), ended.stderr
        ended = await dead.typed("purge", "--before", "end", "--execute")
        assert (ended.code, await _starts(dead)) == (0, [5, 5]), ended.stderr
        ended = await dead.typed("purge", "--before", "end", "--execute")
        assert (ended.code, ended.stderr) == (0, "penstock: nothing to delete\n")


def _first_does_not_answer() -> Any:
    silent, delete = [TimeoutError()], AIOKafkaAdminClient.delete_records

    async def answer(*arguments: Any, **named: Any) -> Any:
        if silent:
            raise silent.pop()
        return await delete(*arguments, **named)

    return answer


BAD: dict[str, tuple[tuple[str, ...], int, str]] = {
    "unknown field": (("ls", "--where", "kid=UPSTREAM"), 2, "did you mean kind?"),
    "no offset": (("ls", "--offset", "never"), 2, "--offset never: is none"),
    "no partition": (("ls", "-p", "2"), 2, "has the partitions 0 to 1"),
    "an empty topic": (("ls",), 0, "no dead letters"),
    "none to count": (("stats", "--where", "kind=ANSWER"), 0, "no dead letters like this"),
    "nothing to redrive": (("redrive",), 0, ""),
    "beyond the end": (("redrive", "--offset", "7"), 2, "offset 7 is beyond the end"),
    "in the future": (("stats", "--offset", "@2999-01-01"), 2, "which is in the future"),
    "an empty partition": (("show", "0/3"), 2, "partition 0 of"),
    "no place": (("show", "3"), 2, "write PARTITION/OFFSET"),
    "no id": (("redrive", "--id", "a/b"), 2, "--id a/b: write letters"),
    "no patch": (("redrive", "--edit", "[1]"), 2, "--edit [1]: is JSON, but no object"),
    "a patch that is no JSON": (("redrive", "--edit", "{1}"), 2, "is no JSON"),
    "no bound": (("purge", "--before", "1:2"), 2, "--before 1:2: write one offset"),
    "a range": (("purge", "--before", "1:"), 2, "--before 1:: write one offset"),
    "no Kafka": (("ls", "-b", "localhost:1"), 2, "nothing listens at localhost:1"),
}


async def test_what_cannot_be_is_said_on_one_line(bootstrap_servers: str, topics: Topics) -> None:
    async with morgue(bootstrap_servers, topics) as dead:
        for name, (words, code, says) in BAD.items():
            ended = await dead.typed(*words)
            assert (name, ended.code) == (name, code), ended.stderr
            assert says in ended.stderr, name
            assert ended.stderr.count("\n") <= 1, ended.stderr
        env = dead.env | {"PENSTOCK_TOPICS__DEAD_LETTERS": topics.name("none")}
        ended = await Morgue(dead.servers, topics, dead.producer, env).typed("redrive")
        assert ended.code == 2
        assert "is missing; start `penstock serve`" in ended.stderr
        # What is compacted has no offsets to delete before.
        topics.create("compacted", 1, {"cleanup.policy": "compact"})
        env = dead.env | {"PENSTOCK_TOPICS__DEAD_LETTERS": topics.name("compacted")}
        ended = await Morgue(dead.servers, topics, dead.producer, env).typed(
            "purge", "--before", "end"
        )
        assert (ended.code, ended.stdout) == (2, "")
        assert "is compacted" in ended.stderr


def test_away_from_a_terminal_a_line_says_now_and_then_how_far_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now, tally = [100.0], Tally(read=20, redriven=7)
    tally.refused["larger"] = 2
    with progress(50, tally, Clock(monotonic=lambda: now[0])) as told:
        for moment in (101.0, 105.0, 109.0, 110.5):
            now[0] = moment
            told()
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line.pop("seconds") for line in lines] == [5.0, 10.5]
    assert lines == [{"read": 20, "of": 50, "redriven": 7, "refused": 2}] * 2


async def _starts(dead: Morgue) -> list[int]:
    """Of the dead letters' partitions, as Kafka has them now."""
    async with dead.consumer() as consumer:
        places = dead.places("dead-letters")
        begins = await consumer.beginning_offsets(places)
        return [begins[place] for place in places]
