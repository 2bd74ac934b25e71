"""The whole service on a real Kafka: what a question went through, as one tree of spans."""

from penstock.program import calls
from tests.support.kafka import Topics
from tests.support.stage import stage
from tests.support.tracing import (
    Spans,
    attributes,
    header_of,
    parent_id,
    span_id,
    spans,
    trace_id,
)

__all__ = ["spans"]

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = ("traceparent", f"00-{TRACE}-{SPAN}-01".encode())
STATE = ("tracestate", b"vendor=1")
AT_ONCE = {"base_ms": 1}


async def test_a_question_that_is_tried_again_is_one_tree(
    bootstrap_servers: str, topics: Topics, spans: Spans
) -> None:
    async with stage(bootstrap_servers, topics) as on:
        on.models.script["flaky"] = lambda turn, _: "500" if turn == 1 else "ok"
        async with on.serving("openai/flaky", retry=AT_ONCE) as (_, talk):
            await talk.ask({"id": "q", "question": "?"}, b"k", [PARENT, STATE])
            await talk.ended("q")
            [completion] = await talk.completions(1)
            await talk.to_the_end()
        bodies = list(on.models.bodies)

    process, send = spans.one("process"), spans.one("send")
    attempts, chats = spans.named("invoke_workflow"), spans.named("chat")
    for s in spans.all:
        print(s.name, s.kind, parent_id(s), span_id(s), attributes(s), s.status.status_code)
    assert {trace_id(span) for span in spans.all} == {TRACE}
    assert parent_id(process) == SPAN
