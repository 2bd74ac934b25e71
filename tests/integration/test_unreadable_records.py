"""Records that break the rules of Kafka itself, as a client written in C can send them."""

from typing import Any

import pytest
from aiokafka.producer import message_accumulator, producer
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

from tests.support.conversation import serving
from tests.support.kafka import Topics
from tests.support.model_server import model_server


class NotUTF8(str):
    """A name that reaches the wire as bytes that are no text."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"\xff\xfe"


async def test_a_header_whose_name_is_not_utf8_stops_nobody(
    bootstrap_servers: str, topics: Topics, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics.create("questions", 1)
    async with (
        model_server() as models,
        serving(bootstrap_servers, topics, "openai/ok", models.api_base) as (service, talk),
    ):
        with monkeypatch.context() as patched:
            # The builder in C takes real strings only.
            for module in (message_accumulator, producer):
                patched.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
            await talk.ask({"id": "strange", "question": "?"}, b"a", ((NotUTF8("x"), b"1"),))
        await talk.ask({"id": "next", "question": "?"}, b"b")

        assert (await talk.completion("next", within=3.0))["status"] == "completed"
        assert (await talk.completion("strange"))["question_id"]
        assert service.live() is None
