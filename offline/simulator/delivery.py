"""What goes wrong between a producer and the broker: repeats, delays, damage.

A record is touched by one fault at most. Delayed records wait here until their
arrival; a late one arrives more than ten minutes of event time after newer records
of its key, an out-of-order one within two minutes. Counts are of what was handed on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.simulator.fault import DELIVERY_TYPES, RATE, Fault, Truth

I64 = NDArray[np.int64]

LATE_MS: Final = (12 * 60_000, 25 * 60_000)
OUT_OF_ORDER_MS: Final = (2_000, 90_000)
DUPLICATE_MS: Final = (0, 5_000)


@dataclass(frozen=True, slots=True)
class Records:
    """Records of one dataset in order of arrival; arrays and lists `[n]`.

    `mark` says what was done to each: 0 nothing, else an index into `MARKS`.
    """

    dataset: str
    topic: str
    keys: list[bytes | None]
    values: list[bytes]
    event_ms: I64
    arrival_ms: I64
    mark: NDArray[np.int8]

    @classmethod
    def untouched(cls, dataset: str, topic: str, keys: list[bytes | None], values: list[bytes], at: I64) -> Records:
        """Records that arrive when they happen."""
        return cls(dataset, topic, keys, values, at, at.copy(), np.zeros(len(values), np.int8))

    def __len__(self) -> int:
        return len(self.values)

    def take(self, index: NDArray[np.intp]) -> Records:
        """Rows of an index array, in its order."""
        rows = index.tolist()
        keys, values = [self.keys[i] for i in rows], [self.values[i] for i in rows]
        columns = (self.event_ms[index], self.arrival_ms[index], self.mark[index])
        return Records(self.dataset, self.topic, keys, values, *columns)

    def join(self, other: Records) -> Records:
        """Both, in no order."""
        keys, values = self.keys + other.keys, self.values + other.values
        event = np.concatenate([self.event_ms, other.event_ms])
        arrival = np.concatenate([self.arrival_ms, other.arrival_ms])
        mark = np.concatenate([self.mark, other.mark])
        return Records(self.dataset, self.topic, keys, values, event, arrival, mark)


def _truncated(rng: Generator, value: bytes) -> bytes:
    return value[: int(rng.integers(1, len(value) - 1))]


def _not_json(rng: Generator, value: bytes) -> bytes:
    return b"panic: runtime error: index out of range [%d]" % int(rng.integers(64))


def _not_utf8(rng: Generator, value: bytes) -> bytes:
    return value.replace(b'"node_id":"', b'"node_id":"\xff\xfe')


def _empty(rng: Generator, value: bytes) -> bytes:
    return b""


def _missing_field(rng: Generator, value: bytes) -> bytes:
    return value.replace(b'"node_id":', b'"node_idd":')


def _wrong_type(rng: Generator, value: bytes) -> bytes:
    return value.replace(b'"node_id":', b'"node_id":["x"],"was":')


def _out_of_range(rng: Generator, value: bytes) -> bytes:
    for field in (b'"latency_ms":', b'"rtt_ms":', b'"latency_mean":'):
        value = value.replace(field, field + b"-")
    return value


def _array(rng: Generator, value: bytes) -> bytes:
    return b"[" + value + b"]"


CORRUPTIONS: Final[dict[str, Callable[[Generator, bytes], bytes]]] = {
    "truncated": _truncated,
    "not_json": _not_json,
    "not_utf8": _not_utf8,
    "empty": _empty,
    "missing_field": _missing_field,
    "wrong_type": _wrong_type,
    "out_of_range": _out_of_range,
    "array": _array,
}
"""Kinds of damage, each of which no reader may accept."""

MARKS: Final = (
    ("", ""),
    ("duplicate", "duplicate"),
    ("late", "late"),
    ("out_of_order", "out_of_order"),
    *(("corrupt", kind) for kind in CORRUPTIONS),
)
"""Kind and type, as the truth file names them, of each mark."""

_DUPLICATE, _LATE, _OUT_OF_ORDER, _CORRUPT = 1, 2, 3, 4
_DAMAGE = tuple(CORRUPTIONS.values())


class Delivery:
    """Applies the delivery faults of a schedule to one dataset's records.

    Parameters
    ----------
    rng
        Source of everything random here.
    faults
        The schedule's delivery faults on this dataset.
    start_ms, end_ms
        The run, in event time; nothing arrives after its end.
    """

    def __init__(self, rng: Generator, faults: Sequence[Fault], start_ms: int, end_ms: int) -> None:
        self._rng, self._faults, self._start_ms, self._end_ms = rng, list(faults), start_ms, end_ms
        self._waiting: Records | None = None
        self._counts = np.zeros(len(MARKS), np.int64)

    def step(self, records: Records, until_ms: int) -> Records:
        """Records that arrive before `until_ms`, in order of arrival."""
        if not self._faults:
            return records
        records = self._touch(records)
        if self._waiting is not None:
            records = self._waiting.join(records)
        order = np.argsort(records.arrival_ms, kind="stable")
        now = int(np.searchsorted(records.arrival_ms[order], until_ms, "left"))
        self._waiting = records.take(order[now:]) if now < len(records) else None
        arrived = records.take(order[:now])
        self._counts += np.bincount(arrived.mark, minlength=len(MARKS))
        return arrived

    def truth(self, dataset: str, end_ms: int) -> list[Truth]:
        """How many of the records handed on each fault touched."""
        return [
            Truth(*MARKS[mark], dataset, self._start_ms, end_ms, count=int(self._counts[mark]))
            for mark in np.flatnonzero(self._counts[1:]) + 1
        ]

    def _touch(self, records: Records) -> Records:
        """Choose records for each fault, damage, delay or repeat them."""
        choice = self._choose(records)
        values, arrival, mark = list(records.values), records.arrival_ms.copy(), records.mark.copy()
        for row in np.flatnonzero(choice == DELIVERY_TYPES.index("corrupt")).tolist():
            kind = int(self._rng.integers(len(_DAMAGE)))
            values[row] = _DAMAGE[kind](self._rng, values[row])
            mark[row] = _CORRUPT + kind
        for code, type_, span in ((_LATE, "late", LATE_MS), (_OUT_OF_ORDER, "out_of_order", OUT_OF_ORDER_MS)):
            rows = np.flatnonzero(choice == DELIVERY_TYPES.index(type_))
            delayed = arrival[rows] + self._rng.integers(*span, len(rows))
            # What would arrive after the end is left alone: it would be lost, not delayed.
            rows, delayed = rows[delayed < self._end_ms], delayed[delayed < self._end_ms]
            arrival[rows], mark[rows] = delayed, code
        records = replace(records, values=values, arrival_ms=arrival, mark=mark)
        return self._repeat(records, np.flatnonzero(choice == DELIVERY_TYPES.index("duplicate")))

    def _repeat(self, records: Records, rows: NDArray[np.intp]) -> Records:
        again = records.take(rows)
        arrival = np.minimum(again.arrival_ms + self._rng.integers(*DUPLICATE_MS, len(rows)), self._end_ms - 1)
        return records.join(replace(again, arrival_ms=arrival, mark=np.full(len(rows), _DUPLICATE, np.int8)))

    def _choose(self, records: Records) -> NDArray[Any]:
        """Index into `DELIVERY_TYPES` of the fault on each record, -1 for none."""
        choice = np.full(len(records), -1)
        at_s = (records.event_ms - self._start_ms) / 1000
        for fault in self._faults:
            hit = self._rng.random(len(records)) < (RATE if fault.rate is None else fault.rate)
            hit &= (at_s >= fault.start_s) & (at_s < (np.inf if fault.end_s is None else fault.end_s))
            choice[hit & (choice < 0)] = DELIVERY_TYPES.index(fault.type)
        return choice
