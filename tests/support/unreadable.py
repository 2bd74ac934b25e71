"""Records that break the rules of Kafka itself, as a client written in C can send them."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiokafka.producer import message_accumulator
from aiokafka.producer import producer as producer_module
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy


class NotUTF8(str):
    """A name that reaches the wire as bytes that are no text."""

    __slots__ = ()

    def encode(self, *_: Any) -> bytes:
        return b"\xff\xfe"


@contextmanager
def takes_any_name(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In what is sent: the builder in C takes real strings only."""
    with monkeypatch.context() as patched:
        for module in (message_accumulator, producer_module):
            patched.setattr(module, "DefaultRecordBatchBuilder", _DefaultRecordBatchBuilderPy)
        yield
