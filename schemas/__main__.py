"""Writes the published contract, the dashboards, charts, and what of the README is generated."""

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from penstock.events import envelope
from penstock.events.completion import Completion
from penstock.events.control import Cancel, Pause
from penstock.events.member import Member
from penstock.events.question import Question
from penstock.events.sums import Standing
from penstock.events.token import TokenEvent
from penstock.gateway.frames import ClientFrame, ServerFrame
from penstock.replay.plan import Plan
from penstock.settings.schema import schema as settings_schema
from schemas.chart import VALUES, values
from schemas.dashboards import rendered
from schemas.gateway_panels import GATEWAY
from schemas.performance import measured
from schemas.performance_chart import DOCS, charts
from schemas.reference import README, readme
from schemas.service_panels import SERVICE

HERE = Path(__file__).parent
GRAFANA = HERE.parent / "deploy" / "grafana"
DIALECT = "https://json-schema.org/draft/2020-12/schema"

MODELS: dict[str, type[BaseModel]] = {
    "question": Question,
    "token": TokenEvent,
    "completion": Completion,
    "cancel": Cancel,
    "member": Member,
    "pause": Pause,
    "replay": Plan,
    "client-frame": ClientFrame,
    "server-frame": ServerFrame,
    "statusz": Standing,
}

CHANNELS = {
    "questions": ("penstock.questions", "question", envelope.QUESTION, "receive"),
    "tokens": ("penstock.tokens", "token", envelope.TOKEN, "send"),
    "completions": ("penstock.completions", "completion", envelope.COMPLETION, "send"),
    "dead-letters": ("penstock.dead-letters", None, None, "send"),
    "control": ("penstock.control", "cancel", envelope.CONTROL, "receive"),
    "members": ("penstock.control", "member", envelope.CONTROL, "send"),
    "pauses": ("penstock.control", "pause", envelope.CONTROL, "receive"),
    "replays": ("penstock.control", "replay", envelope.CONTROL, "receive"),
}

SUMMARIES = {
    "questions": "One question per record; the key, which may be absent, orders them.",
    "tokens": "What is being said, while it is said. The last event of a question is `end`.",
    "completions": "Exactly one per question record.",
    "dead-letters": "The original record, byte for byte, with headers that say why.",
    "members": "On the control topic, too, by the key `member/` and the name of a process: what it "
    "reports of itself every five seconds. One without a value, or 15 s old, is of one that ended.",
    "control": "By key: `cancel/` and the id of a question that nobody wants answered any more. "
    "One partition.",
    "pauses": "On the control topic, too, by the key `pause/` and what is paused: `all`, "
    "`partition/3` or `program/qa`. One without a value takes it back; that of `all` also lets go "
    "on who waits for an operator.",
    "replays": "On the control topic, too, by the key `replay/` and its id: which questions are "
    "answered again, by whom and where. Written once.",
}

DEAD_LETTER_HEADERS = {
    "__dlq.errors.topic": "The topic of the original record.",
    "__dlq.errors.partition": "Its partition, a number in UTF-8.",
    "__dlq.errors.offset": "Its offset, a number in UTF-8.",
    "__dlq.errors.group": "The consumer group that gave up.",
    "__dlq.errors.delivery.count": "How often the program was started.",
    "__dlq.errors.message": "Why, for people.",
    "penstock-origin": "Topic, partition, offset and group, with slashes between.",
    "penstock-error-kind": "RECORD, ANSWER, UPSTREAM or DEADLINE.",
    "penstock-error-code": "Why, for machines.",
    "penstock-error-stage": "decode, waiting, running, or retrying between two attempts.",
    "penstock-error-at": "When, RFC 3339.",
    "penstock-error-trace": "The id of its trace, where there is one: 32 hexadecimal digits.",
    "penstock-first-error-kind": "Where there were attempts: how the first one failed.",
    "penstock-first-error-code": "The same, for machines.",
    "penstock-first-error-message": "The same, for people.",
    "penstock-attempts": "The attempts that failed: a JSON array of attempt, kind, code and at.",
}

QUESTION_HEADERS = {
    "penstock-redrive": "Of one that was a dead letter: by which id it is asked again, and topic, "
    "partition and offset of the dead letter, with slashes between.",
    "penstock-redrives": "How often it was asked again, a number in UTF-8.",
    "traceparent": "W3C trace context. It travels on to token events, completion and dead letter.",
    "tracestate": "As above.",
}
"""Besides those of a CloudEvent."""


def files() -> dict[str, str]:
    """File name to content."""
    written = {f"{name}.schema.json": _json(_schema(name)) for name in MODELS}
    written["settings.schema.json"] = _json(settings_schema())
    written["asyncapi.yaml"] = yaml.safe_dump(
        _asyncapi(), sort_keys=False, allow_unicode=True, width=100
    )
    return written


def dashboards() -> dict[str, str]:
    """File name to content."""
    return {f"{board.uid}.json": _json(rendered(board)) for board in (SERVICE, GATEWAY)}


def _json(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _schema(name: str) -> dict[str, Any]:
    model = MODELS[name]
    if model in {Question, Cancel, Pause, ClientFrame}:
        return {"$schema": DIALECT, **model.model_json_schema(mode="validation")}
    return {"$schema": DIALECT, **model.model_json_schema(mode="serialization")}


def _asyncapi() -> dict[str, Any]:
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    messages: dict[str, Any] = {}
    for channel, (topic, schema, type_, action) in CHANNELS.items():
        messages[channel] = _message(channel, schema, type_)
        channels[channel] = {
            "address": topic,
            "description": SUMMARIES[channel],
            "messages": {channel: {"$ref": f"#/components/messages/{channel}"}},
        }
        operations[f"{action}-{channel}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
        }
    return {
        "asyncapi": "3.1.0",
        "info": {
            "title": "Penstock",
            "version": "1.0.0",
            "description": "Questions in; tokens, one completion each, and dead letters out. "
            "JSON in UTF-8; out, CloudEvents 1.0 in binary mode. Readers ignore fields and skip "
            "types they do not know. Topic names are settings.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }


def _message(channel: str, schema: str | None, type_: str | None) -> dict[str, Any]:
    message: dict[str, Any] = {"name": channel, "summary": SUMMARIES[channel]}
    if schema is None:
        message["contentType"] = "application/octet-stream"
        properties = _described(DEAD_LETTER_HEADERS | QUESTION_HEADERS)
        message["headers"] = {"type": "object", "properties": properties}
        return message
    attributes = ("ce_id", "ce_source", "ce_specversion", "ce_time")
    message["headers"] = {
        "type": "object",
        "properties": {"ce_type": {"const": type_}}
        | {name: {"type": "string"} for name in attributes},
    }
    if channel == "questions":
        message["headers"]["properties"] |= _described(QUESTION_HEADERS)
    message["payload"] = {
        "schemaFormat": "application/schema+json;version=draft-2020-12",
        "schema": {"$ref": f"./{schema}.schema.json"},
    }
    return message


def _described(headers: dict[str, str]) -> dict[str, Any]:
    return {name: {"type": "string", "description": text} for name, text in headers.items()}


def main() -> None:
    written = {HERE / name: content for name, content in files().items()}
    written |= {GRAFANA / name: content for name, content in dashboards().items()}
    written |= {DOCS / name: content for name, content in charts(measured()).items()}
    for path, content in written.items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
        print(path, file=sys.stderr)
    README.write_text(readme())
    VALUES.write_text(values())


if __name__ == "__main__":
    main()
