"""The spans of a question, from events and commands alone."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.clock import Clock
from penstock.core import facts
from penstock.core.failure import Failure, Kind
from penstock.events.again import Replay
from penstock.events.completion import Program
from penstock.events.report import Report
from penstock.kafka.codec import Delivery, Raw
from penstock.telemetry.tracing.exporting import Exporting
from penstock.telemetry.tracing.questions import Traces
from tests.support.decoding import codec
from tests.support.traceparent import SPAN, TRACE
from tests.support.tracing import (
    Spans,
    attributes,
    failed,
    links,
    parent_id,
    span_id,
    spans,
    trace_id,
)

__all__ = ["spans"]

RECORD = facts.RecordId(3, 1, 7)
EXPIRED = Failure(Kind.UPSTREAM, "deadline_exceeded", "of all that it says: secret")


def delivery(flags: str = "01", **raw: Any) -> Delivery:
    parent = ("traceparent", f"00-{TRACE}-{SPAN}-{flags}".encode())
    came = {"key": b"k", "value": b'{"question": "?"}', "headers": (parent,), **raw}
    record = Raw("questions", 3, 7, 1_700_000_000_000, **came)
    return codec().decode(RECORD, record, 0.0, 1_700_000_000.0)


class Question:
    """One question, and what the loop tells of it."""

    def __init__(self, asked: Delivery, *, tells_content: bool = False) -> None:
        self.exporting = Exporting("penstock", "here")
        self.traces = Traces(self.exporting, "group", Clock(), str, tells_content=tells_content)
        self.job: Any = SimpleNamespace(
            delivery=asked,
            status="completed",
            failure=None,
            attempts=1,
            trace_id=None,
            calls=None,
            report=Report(program=Program(name="qa", version="7")),
        )

    def tell(self, *said: facts.Event | facts.Command) -> None:
        for fact in said:
            self.traces.observe(fact, self.job)

    async def ends(self) -> None:
        await self.traces.stop()


START = facts.Start(RECORD, 1, 100.0)
ENDS = (facts.Finished(RECORD), facts.PublishCompletion(RECORD), facts.Published(RECORD))


async def test_a_replay_begins_a_trace_and_links_to_the_first(spans: Spans) -> None:
    asked = replace(delivery(), replay=Replay(id="r", topic="questions", partition=3, offset=7))
    question = Question(asked)
    question.tell(START, *ENDS)
    await question.ends()

    process = spans.one("process questions")
    assert parent_id(process) is None
    assert trace_id(process) != TRACE
    assert links(process) == [SPAN]
    assert attributes(process)["penstock.replay"] == "r"
    assert question.job.trace_id == trace_id(process)
    assert attributes(spans.one("invoke_workflow"))["gen_ai.agent.version"] == "7"


async def test_who_does_not_want_to_be_recorded_is_not(spans: Spans) -> None:
    question = Question(delivery(flags="00"))
    question.tell(START)
    [(name, value)] = question.traces.of(question.job.delivery).trace
    question.tell(*ENDS)
    await question.ends()

    assert spans.all == ()
    assert question.job.trace_id is None
    # Whoever comes next is told so, too.
    assert (name, value[:35]) == ("traceparent", f"00-{TRACE}".encode())
    assert value.endswith(b"-00")


async def test_a_process_takes_over_the_trace(spans: Spans) -> None:
    question = Question(delivery())
    question.tell(facts.TakeOver(RECORD, 0.0), START, *ENDS)
    await question.ends()

    process = spans.one("process")
    assert (trace_id(process), parent_id(process)) == (TRACE, SPAN)
    assert attributes(process)["penstock.taken_over"] is True
    assert question.job.trace_id == TRACE


async def test_what_expires_or_goes_elsewhere_has_failed(spans: Spans) -> None:
    expired = Question(delivery())
    expired.tell(START, facts.Cancel(RECORD), facts.Cancelled(RECORD))
    expired.job.status, expired.job.failure = "expired", EXPIRED
    expired.tell(facts.GiveUp(RECORD, "expired", EXPIRED, dead_letter=False))
    expired.tell(facts.Published(RECORD))
    await expired.ends()
    assert failed(spans.one("invoke_workflow")) == "cancelled"
    assert failed(spans.one("process")) == "deadline_exceeded"
    assert attributes(spans.one("process"))["penstock.status"] == "expired"

    spans.exporter.clear()
    handed_over = Question(delivery())
    handed_over.tell(START, facts.Drop(RECORD, cut_off=True))
    # Not only when this process ends.
    handed_over.exporting._provider.force_flush()
    assert [failed(span) for span in spans.all] == ["cut_off", "cut_off"]
    await handed_over.ends()

    spans.exporter.clear()
    killed = Question(delivery())
    killed.tell(START)
    await killed.ends()
    assert [failed(span) for span in spans.all] == ["cut_off", "cut_off"]


@pytest.mark.parametrize(
    ("raw", "shown", "hidden"),
    [
        ({"key": "schlüssel".encode()}, {"messaging.kafka.message.key": "schlüssel"}, set()),
        ({"key": b"\xff"}, {}, {"messaging.kafka.message.key"}),
        ({"key": b"k" * 129}, {}, {"messaging.kafka.message.key"}),
        ({"key": None}, {}, {"messaging.kafka.message.key"}),
        (
            {"value": None},
            {"messaging.kafka.message.tombstone": True, "penstock.question_id": "questions/3/7"},
            {"penstock.program"},
        ),
    ],
)
async def test_a_record_is_told_as_far_as_it_is_text(
    spans: Spans, raw: dict[str, Any], shown: dict[str, Any], hidden: set[str]
) -> None:
    for tells_content in (True, False):
        spans.exporter.clear()
        question = Question(delivery(**raw), tells_content=tells_content)
        question.tell(facts.GiveUp(RECORD, "failed", EXPIRED, dead_letter=True))
        question.tell(facts.Published(RECORD))
        await question.ends()

        said = attributes(spans.one("process"))
        assert not hidden & said.keys()
        if tells_content:
            assert shown.items() <= said.items()
        else:
            # It may be a person's.
            assert "messaging.kafka.message.key" not in said


async def test_attempts_are_of_one_question_and_end_in_time(spans: Spans) -> None:
    question = Question(delivery())
    question.tell(START, facts.Failed(RECORD, EXPIRED), facts.Start(RECORD, 2, 100.0), *ENDS)
    await question.ends()

    process = spans.one("process")
    first, second = spans.named("invoke_workflow")
    assert {parent_id(first), parent_id(second)} == {span_id(process)}
    assert [failed(first), failed(second)] == ["deadline_exceeded", None]
    assert first.end_time is not None
    assert second.start_time is not None
    assert first.end_time <= second.start_time
