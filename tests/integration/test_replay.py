"""`penstock replay` as a process, on a real Kafka: ranges, filters, plans, ends."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions, RecordsToDelete

from penstock.cli.ranges import Meant
from penstock.cli.replay_begin import Wishes, draw
from penstock.clock import Clock
from penstock.errors import ConfigurationError
from penstock.kafka import control as control_topic
from penstock.kafka.stretch import LONG, reader
from penstock.replay import store
from tests.support.command import Ended, member_environment, penstock, started
from tests.support.conversation import Conversation, conversation
from tests.support.kafka import Topics, admin_of
from tests.support.recorded import recording
from tests.support.service import settings_for
from tests.support.stage import Stage, stage


async def replay(on: Stage, *words: str, model: str = "openai/ok", **more: str) -> Ended:
    """By the settings of the service that has answered before."""
    return await penstock("replay", *words, env=environment(on, model, **more))


def environment(on: Stage, model: str = "openai/ok", **more: str) -> dict[str, str]:
    settings = settings_for(on.servers, on.topics, model, on.models.api_base)
    own = {f"PENSTOCK_{name}": value for name, value in more.items()}
    return member_environment(settings) | own


def again(on: Stage) -> str:
    """The prefix of the topics of what is answered again."""
    return on.topics.name("again")


async def whole(on: Stage, topic: str) -> list[Any]:
    """All records there are."""
    async with reader({"bootstrap_servers": on.servers}, Clock()) as topics:
        places = [TopicPartition(topic, n) for n in range(await topics.partitions(topic))]
        return [record async for record in topics.read(topic, await topics.whole(places))]


async def ends(on: Stage) -> Mapping[str, int]:
    """Of every topic of this test, how many records were ever written."""
    async with (
        admin_of(on.servers) as admin,
        reader({"bootstrap_servers": on.servers}, Clock()) as r,
    ):
        found = {}
        for topic in await admin.describe_topics():
            if (name := topic["topic"]).startswith(on.topics.name("")):
                places = [TopicPartition(name, n) for n in range(len(topic["partitions"]))]
                found[name] = sum(log.end for log in (await r.whole(places)).values())
        return found


@asynccontextmanager
async def answered(on: Stage, each: int = 20, **body: Any) -> AsyncIterator[Conversation]:
    """So many questions in both partitions, a0, a1 ... and b0, b1 ..., answered by a service that
    has gone."""
    async with on.serving() as (_, talk):
        await talk.ask_all([f"a{n}" for n in range(each)], partition=0, **body)
        await talk.ask_all([f"b{n}" for n in range(each)], partition=1, **body)
        await talk.completions(2 * each)
    yield talk


def talking_again(on: Stage) -> AbstractAsyncContextManager[Conversation]:
    """Reads what is answered again."""
    settings = settings_for(on.servers, on.topics, "openai/ok")
    names = {"tokens": "tokens", "completions": "completions", "dead_letters": "dead-letters"}
    update = {field: f"{again(on)}.{name}" for field, name in names.items()}
    return conversation(settings.kafka, settings.topics.model_copy(update=update))


@asynccontextmanager
async def transacting(on: Stage) -> AsyncIterator[AIOKafkaProducer]:
    name = on.topics.name("transactions")
    producer = AIOKafkaProducer(bootstrap_servers=on.servers, transactional_id=name)
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


def said(ended: Ended) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return body


async def test_a_range_is_answered_again_each_question_once(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        async with answered(on, timeout_ms=60_000):
            before = await ends(on)
            words = ("--offset", "5:15", "--topic-prefix", again(on), "--output", "json")
            dry = await replay(on, *words)
            assert (dry.code, dry.stderr) == (0, "")
            assert said(dry)["records"] == 20
            assert said(dry)["estimated_calls"] == 20
            assert said(dry)["estimated_tokens"] > 0
            assert await ends(on) == before, "a dry run writes nothing"

            ended = await replay(on, *words, "--id", "first", "--execute")
            assert ended.code == 0, ended.stderr
            assert said(ended)["over"]
            assert said(ended)["here"] == {"completed": 20}
        completions = await whole(on, f"{again(on)}.completions")
        asked = sorted(json.loads(r.value)["question_id"] for r in completions)
        assert asked == sorted(f"{name}{n}" for name in "ab" for n in range(5, 15))
        for record in completions:
            body = json.loads(record.value)
            replayed = body["replay"]
            assert replayed["id"] == "first"
            assert (replayed["partition"], replayed["offset"]) == (
                body["source"]["partition"],
                body["source"]["offset"],
            )
            header = dict(record.headers)["penstock-replay"].decode()
            assert header == f"first/{on.topics.name('questions')}/" + "/".join(
                str(replayed[name]) for name in ("partition", "offset")
            )
        after = await ends(on)
        grown = {name for name, end in after.items() if end != before.get(name, 0)}
        assert grown == {
            on.topics.name("control"),
            f"{again(on)}.completions",
            f"{again(on)}.tokens",
        }


async def test_stopped_it_goes_on_and_others_may_join(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        async with answered(on):
            pass
        for name in ("tokens", "completions", "dead-letters"):
            topics.create(f"again.{name}", 2)
        before = len(on.models.calls)
        async with talking_again(on) as talk:
            env = environment(on)
            words = ("replay", "--topic-prefix", again(on), "--id", "second", "--rate", "10")
            async with started(*words, "--execute", env=env) as first:
                await talk.completions(10)
                first.send_signal(signal.SIGTERM)
                _, stderr = await first.communicate()
                assert first.returncode == 130
                assert "to go on: penstock replay --resume second --execute" in stderr.decode()
            stands = await replay(on, "--resume", "second", "--output", "json")
            assert stands.code == 0
            done = said(stands)["done"]
            assert 10 <= done < 40
            assert not said(stands)["over"]
            more = [replay(on, "--resume", "second", "--execute") for _ in range(2)]
            for ended in await asyncio.gather(*more):
                assert ended.code == 0, ended.stderr
                assert "40 of 40 done" in ended.stdout
            await talk.completions(40)
            await talk.to_the_end()
            asked = sorted(record.asked for record in talk.completed)
            assert asked == [(p, n) for p in (0, 1) for n in range(20)]
        assert len(on.models.calls) - before == 40, "no call was paid for twice"
        over = await replay(on, "--resume", "second", "--execute")
        assert over.code == 0
        assert "It is over." in over.stderr


async def test_it_ends_whatever_became_of_the_log(bootstrap_servers: str, topics: Topics) -> None:
    """Gaps, markers of transactions at the end, what the retention took, a new partition."""
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        questions = topics.name("questions")
        async with transacting(on) as producer:
            for aborts in (False, True, False):
                await producer.begin_transaction()
                for _ in range(4):
                    await producer.send_and_wait(questions, b'{"question": "?"}', partition=0)
                await (producer.abort_transaction() if aborts else producer.commit_transaction())
        async with on.serving():
            # Its topics are there now.
            pass
        settings = settings_for(on.servers, topics, "openai/ok", on.models.api_base)
        client = {"bootstrap_servers": on.servers}
        meant = Wishes(Meant(), topic_prefix=again(on), id="third")
        plan = (await draw(settings, client, meant, look=False)).plan
        await store.publish(client, settings.topics.control, plan, Clock())
        with pytest.raises(ConfigurationError, match="there is a replay 'third'"):
            await store.publish(client, settings.topics.control, plan, Clock())
        assert plan.ends == {0: 15}, "four and a marker, thrice"
        async with admin_of(on.servers) as admin:
            before = {TopicPartition(questions, 0): RecordsToDelete(before_offset=2)}
            await admin.delete_records(before)
            await admin.create_partitions({questions: NewPartitions(total_count=3)})
        async with transacting(on) as producer:
            await producer.begin_transaction()
            await producer.send_and_wait(questions, b'{"question": "new"}', partition=0)
            await producer.send_and_wait(questions, b'{"question": "new"}', partition=2)
            await producer.commit_transaction()

        ended = await replay(on, "--resume", "third", "--execute", "--output", "json")
        assert ended.code == 0, ended.stderr
        assert said(ended)["here"] == {"completed": 6}
        assert "the retention took questions" in ended.stderr
        completions = await whole(on, f"{again(on)}.completions")
        offsets = sorted(json.loads(record.value)["source"]["offset"] for record in completions)
        assert offsets == [2, 3, 10, 11, 12, 13]


async def test_what_has_failed_is_answered_in_place_and_stays_apart(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        on.models.script["ok"] = lambda _, request: (
            "400" if request.question in {"a1", "b2"} else "ok"
        )
        async with answered(on, each=4) as talk:
            failed = {r.asked for r in talk.completed if r.body["status"] == "failed"}
        assert failed == {(0, 1), (1, 2)}
        del on.models.script["ok"]
        words = ("--where", "status=failed", "--in-place", "--program", "question -> answer")
        ended = await replay(on, *words, "--execute", "--output", "json")
        assert ended.code == 0, ended.stderr
        assert said(ended)["here"] == {"completed": 2}
        # The service itself takes none of it for its own.
        async with on.serving() as (_, talk):
            await talk.ask_all(["c0"])
            assert (await talk.completion("c0"))["status"] == "completed"
            await talk.to_the_end()
            again_ = [record.body for record in talk.completed if record.body["replay"]]
            assert {(b["source"]["partition"], b["source"]["offset"]) for b in again_} == failed
            assert {body["status"] for body in again_} == {"completed"}
            assert {body["program"]["name"] for body in again_} == {"question->answer"}
            assert len(talk.completed) == 8 + 2 + 1


async def test_which_questions_are_meant(
    bootstrap_servers: str, topics: Topics, tmp_path: Path
) -> None:
    async with stage(bootstrap_servers, topics, partitions=2) as on:
        async with answered(on, each=6, metadata={"tenant": "acme"}) as talk:
            pass
        async with on.talking() as later:
            await later.ask({"question": "nobody answers", "program": "qa"}, partition=1)
        settings = settings_for(on.servers, topics, "openai/ok", on.models.api_base)
        client = {"bootstrap_servers": on.servers}
        questions = topics.name("questions")
        csv, jsonl = tmp_path / "some.csv", tmp_path / "some.jsonl"
        csv.write_text(f"topic,partition,offset\n{questions},1,2\n{questions},0,4\n")
        jsonl.write_text("".join(f"{json.dumps(r.body)}\n" for r in talk.completed[:3]))

        async def meant(*where: str, **wishes: Any) -> set[tuple[int, int]]:
            flags = {name: wishes.pop(name) for name in Meant._fields if name in wishes}
            drawn = await draw(
                settings, client, Wishes(Meant(**flags), where=list(where), **wishes), look=False
            )
            return {
                (number, offset)
                for number, some in drawn.plan.selections.items()
                for offset in range(some.start, some.end)
                if offset in some
            }

        everything = {(p, n) for p in (0, 1) for n in range(6)} | {(1, 6)}
        assert await meant() == everything
        assert await meant("status=unanswered") == {(1, 6)}
        assert await meant("metadata.tenant=acme") == everything - {(1, 6)}
        assert await meant("id=a3") == {(0, 3)}
        assert await meant("status=failed") == set()
        assert await meant(partitions=[1], offset="-2") == {(1, 5), (1, 6)}
        assert await meant(offset="3:5", partitions=[0]) == {(0, 3), (0, 4)}
        assert len(await meant(most=5)) == 5
        assert await meant(by_duration="PT1H") == everything
        assert await meant(from_file=csv) == {(1, 2), (0, 4)}
        assert await meant("id=a4", from_file=csv) == {(0, 4)}
        assert await meant(from_file=jsonl) == {r.asked for r in talk.completed[:3]}

        # Of what is not written yet nothing is waited for, however far it may be.
        for beyond in (50, 10**18 - 1):
            csv.write_text(f"{questions},0,4\n{questions},0,{beyond}\n{questions},1,{beyond}\n")
            assert await meant(from_file=csv) == {(0, 4)}
            drawn = await draw(settings, client, Wishes(Meant(), csv), look=False)
            assert drawn.plan.ends == {0: 5}

        foreign = tmp_path / "foreign.csv"
        foreign.write_text("other,0,1\n")
        wrong = tmp_path / "wrong.csv"
        wrong.write_text(f"{questions},0\n")
        for says, where, wishes in (
            ("beyond the end", [], {"offset": "100"}),
            ("has the partitions 0 to 1", [], {"partitions": [2]}),
            ("in the future", [], {"from_datetime": "2099-01-01"}),
            ("ends before it begins", [], {"offset": "5:5"}),
            ("there is no field 'state'", ["state=failed"], {}),
            ("is of the topic 'other'", [], {"from_file": foreign}),
            ("line 1: neither", [], {"from_file": wrong}),
            ("leave the range out", [], {"from_file": csv, "offset": "1"}),
            ("is no id", [], {"id": "a/b"}),
            ("is no id", [], {"id": "a/b", "topic_prefix": "again"}),
            ("is no id", [], {"id": ""}),
            ("no topic is called so", [], {"topic_prefix": "a/b"}),
            ("no topic is called so", [], {"topic_prefix": ""}),
        ):
            with pytest.raises(ConfigurationError, match=says):
                await meant(*where, **wishes)
        nowhere = settings.topics.model_copy(update={"questions": topics.name("nowhere")})
        lost = settings.model_copy(update={"topics": nowhere})
        with pytest.raises(ConfigurationError, match="is missing"):
            await draw(lost, client, Wishes(Meant()), look=False)
        own = settings.topics.model_copy(update={"questions": topics.name("completions")})
        loops = settings.model_copy(update={"topics": own})
        with pytest.raises(ConfigurationError, match="answer its own answers"):
            await draw(loops, client, Wishes(Meant(), in_place=True), look=False)


async def test_what_cannot_be_done_is_said_on_a_line_and_nothing_else_on_stdout(
    bootstrap_servers: str, topics: Topics
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        control = topics.name("control")
        ended = await replay(on, "--resume", "any")
        assert ended.code == 2
        assert ended.stderr.startswith(f"penstock: topic {control!r} is missing")
        away = {"KAFKA__BOOTSTRAP_SERVERS": "localhost:1"}
        for words in (("--execute",), ("--resume", "any")):
            ended = await replay(on, *words, **away)
            assert (ended.code, ended.stdout) == (2, "")
            assert ended.stderr.startswith("penstock: no Kafka answers at localhost:1")
            assert ended.stderr.count("\n") == 1
        ended = await replay(on, "--execute")
        assert ended.code == 0
        assert ended.stderr == "penstock: nothing of the range is to be replayed\n"

        topics.create("completions")
        async with recording(on.servers, topics) as record:
            many = LONG + 1
            await asyncio.gather(*(record.question("?") for _ in range(many)))
        ended = await replay(on, "--output", "json")
        assert (ended.code, ended.stderr) == (0, "")
        assert json.loads(ended.stdout)["records"] == many


async def test_of_two_who_make_one_plan_at_once_the_first_has_made_it(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions, control = topics.create("questions"), topics.create("control")
    async with recording(bootstrap_servers, topics) as record:
        await record.question("?")
    settings = settings_for(bootstrap_servers, topics, "openai/ok")
    client = {"bootstrap_servers": bootstrap_servers}
    mine, others = [
        (await draw(settings, client, Wishes(Meant(), id="fifth", rate=rate), look=False)).plan
        for rate in (1, 2)
    ]
    assert mine.questions == questions
    say, rivals = control_topic.say, [others]

    async def says(*what: Any) -> None:
        if rivals:
            # Who has looked before us, and is quicker.
            await store.publish(client, control, rivals.pop(), Clock())
        await say(*what)

    monkeypatch.setattr(control_topic, "say", says)
    with pytest.raises(ConfigurationError, match="somebody else has made a replay 'fifth' just"):
        await store.publish(client, control, mine, Clock())
    assert await store.load(client, control, "fifth", Clock()) == others


async def test_a_plan_is_not_of_a_topic_that_was_created_anew(
    bootstrap_servers: str, topics: Topics
) -> None:
    """It would wait for its end, and answer on the way what nobody has meant."""
    async with stage(bootstrap_servers, topics) as on:
        async with on.serving():
            # Its topics are there now.
            pass
        async with recording(on.servers, topics) as record:
            for _ in range(5):
                await record.question("?")
        settings = settings_for(on.servers, topics, "openai/ok", on.models.api_base)
        client = {"bootstrap_servers": on.servers}
        meant = Wishes(Meant(), topic_prefix=again(on), id="fourth")
        plan = (await draw(settings, client, meant, look=False)).plan
        await store.publish(client, settings.topics.control, plan, Clock())
        await on.operator.recreate("questions")
        for words in ((), ("--execute",)):
            ended = await replay(on, "--resume", "fourth", *words)
            assert (ended.code, ended.stdout) == (1, "")
            assert "ends at 0, and replay 'fourth' goes to 5: the topic was" in ended.stderr
        assert not on.models.calls
