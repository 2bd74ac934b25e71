"""Reads records whose header names are not UTF-8.

Kafka's protocol calls a header's name a string, but no broker looks, and clients in C send what
they are given. aiokafka then fails for the whole batch, again at every try, and forgets what it
had read of other partitions. This parser is slower; it is installed when it is needed first.
"""

from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

_MAGIC_OFFSET = 16
_DEFAULT_MAGIC = 2


class _Bytes(bytearray):
    """What is no text decodes to its escapes."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Bytes(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


class _Batch(_DefaultRecordBatchPy):  # type: ignore[misc] # untyped base
    _buffer: bytearray

    def __iter__(self) -> Any:
        records = super().__iter__()
        self._buffer = _Bytes(self._buffer)
        return records


class _Records(_MemoryRecordsPy):  # type: ignore[misc] # untyped base
    def next_batch(self) -> Any:
        batch = self._next_slice
        if batch is None or batch[_MAGIC_OFFSET] < _DEFAULT_MAGIC:
            return super().next_batch()
        self._cache_next()
        return _Batch(batch)


def install() -> None:
    """For every consumer of this process, from its next fetch on."""
    fetcher.MemoryRecords = _Records
