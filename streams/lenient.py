"""Header names that are not UTF-8: read as escapes instead of stopping the reader.

Kafka does not check header names, aiokafka decodes them strictly, and such a record would end every worker
that meets it. Here a batch that fails to decode is read once more, by aiokafka's
own parser in Python, on a buffer whose text never fails.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.errors import CorruptRecordException
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy


class _Text(bytearray):
    """A buffer whose slices decode whatever they hold: `b"\\xff"` becomes `\\xff` in four characters."""

    def __getitem__(self, at: Any) -> Any:
        found = super().__getitem__(at)
        return _Text(found) if isinstance(at, slice) else found

    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, "backslashreplace")


class _Batch:
    """A record batch, everything of it aiokafka's but what happens to bad header names."""

    def __init__(self, batch: Any, source: memoryview) -> None:
        self._batch = batch
        self._source = source

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __next__(self) -> Any:
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        done = 0
        try:
            for record in self._batch:
                yield record
                done += 1
            return
        except (UnicodeDecodeError, CorruptRecordException):  # if it is really corrupt, it is so again below
            again = _DefaultRecordBatchPy(self._source)
            again._maybe_uncompress()
            again._buffer = _Text(again._buffer)
        for at, record in enumerate(again):
            if at >= done:
                yield record


class Records(_MemoryRecordsPy):
    """What one fetch brought of one partition, as `_Batch`es."""

    def next_batch(self, *args: Any) -> Any:
        """The next batch; None after the last."""
        source = self._next_slice
        batch = super().next_batch(*args)
        return batch if batch is None or source is None else _Batch(batch, source)


def install() -> None:
    """Make aiokafka's consumers read this way."""
    fetcher.MemoryRecords = Records
