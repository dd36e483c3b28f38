"""A batch is a table: what an agent's step takes, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.error import RecordError
from schemas.topic import Topic

Column = NDArray[Any]
Columns = dict[str, Column]
"""Equal-length arrays by field name: float64 (missing = NaN), int64, bool or object (str)."""


def object_column(values: Sequence[Any]) -> Column:
    """A column of Python objects, `[n]`; numpy would make text or matrices of some lists.

    >>> object_column(["a", None]).tolist()
    ['a', None]
    """
    column = np.empty(len(values), np.object_)
    column[:] = values
    return column


def matrix(columns: Mapping[str, Any], names: Sequence[str]) -> NDArray[np.float64]:
    """Some columns side by side, `[n, name]`.

    >>> matrix({"a": np.array([1, 2]), "b": np.array([0.5, np.nan])}, ("b", "a")).tolist()
    [[0.5, 1.0], [nan, 2.0]]
    """
    found = np.empty((len(columns[names[0]]), len(names)))
    for at, name in enumerate(names):
        found[:, at] = columns[name]
    return found


def pick(column: Column, row: NDArray[np.intp]) -> Column:
    """Some rows of a column, distinct and in order: where they are all of them, as mostly, the column itself.

    >>> column = np.array([1.0, 2.0, 3.0])
    >>> pick(column, np.array([0, 2])).tolist(), pick(column, np.array([0, 1, 2])) is column
    ([1.0, 3.0], True)
    """
    return column if len(row) == len(column) else column[row]


@dataclass
class Batch:
    """The decodable records of one chunk of one partition, as columns.

    Parameters
    ----------
    topic, partition
        Where they were read.
    columns
        One array per field of the topic's record, each of shape `[n]`.
    key
        Kafka keys, `n` of them; on keyed topics the link or node they belong to.
    offset
        Kafka offsets, int64 `[n]`, increasing.
    origin
        `topic/partition/offset` of the raw record each row comes from, `n` of them.
    time_ms
        Broker-side timestamps of the records, int64 `[n]`, ms since the epoch; None when they are not known.
    """

    topic: Topic
    partition: int
    columns: Columns
    key: list[bytes | None]
    offset: NDArray[np.int64]
    origin: list[bytes]
    time_ms: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.key)

    @cached_property
    def newest_ms(self) -> int:
        """Newest event time; every part of a state wants to know."""
        return int(self.columns["timestamp"].max())

    def take(self, first: int, end: int) -> Batch:
        """Rows `[first, end)`."""
        return Batch(
            self.topic,
            self.partition,
            {name: column[first:end] for name, column in self.columns.items()},
            self.key[first:end],
            self.offset[first:end],
            self.origin[first:end],
            None if self.time_ms is None else self.time_ms[first:end],
        )

    def select(self, row: NDArray[np.intp]) -> Batch:
        """Some rows, in the order given."""
        at = row.tolist()
        return Batch(
            self.topic,
            self.partition,
            {name: column[row] for name, column in self.columns.items()},
            [self.key[r] for r in at],
            self.offset[row],
            [self.origin[r] for r in at],
            None if self.time_ms is None else self.time_ms[row],
        )


class Output(NamedTuple):
    """Records for one topic, as columns.

    Parameters
    ----------
    row
        int `[m]`: the input row each record derives from; not decreasing. It gives
        the record its origin, its key and its deterministic id.
    columns
        One sequence of length `m` per field of the topic's record except `id`;
        an array of shape `[m, k]` becomes a list field.
    key
        Kafka keys where they differ from the input's.
    suffix
        What ends each record's id after a dot, where the id is to say more, or one row
        has several records; those of one row must differ.
    """

    row: NDArray[np.intp]
    columns: Mapping[str, Sequence[Any] | NDArray[Any]]
    key: Sequence[bytes] | None = None
    suffix: Sequence[str] | None = None


class Control(NamedTuple):
    """What takes effect between two records of a keyed partition: a word of feedback, another model.

    It is a record of the partition itself, so that it takes effect at the same place in
    every replay. Every partition gets the same ones.

    Parameters
    ----------
    kind
        What it is, e.g. `system.feedback`.
    body
        Its record, JSON.
    origin
        `topic/partition/offset` of the record it was made of.
    partition
        Where it was read. What all partitions would say of it alike, partition 0 says.
    time_ms
        Its broker-side timestamp.
    """

    kind: str
    body: bytes
    origin: bytes
    partition: int
    time_ms: int


class Broadcast(NamedTuple):
    """A control for every partition of a keyed topic, made of an input row."""

    row: int
    topic: Topic
    kind: str
    body: bytes


class Rejection(NamedTuple):
    """An input row that yields no output: to the dead-letter or the late topic."""

    row: int
    error: RecordError


@dataclass(slots=True)
class Result:
    """What one step gives back: records by topic, the rows it rejects, and controls for other agents' partitions."""

    outputs: Mapping[Topic, Output] = field(default_factory=dict)
    rejected: Sequence[Rejection] = ()
    broadcasts: Sequence[Broadcast] = ()

    @staticmethod
    def join(parts: Sequence[tuple[int, Result]]) -> Result:
        """Results of consecutive pieces of one batch, each with the row its piece began at, as the batch's."""
        if len(parts) == 1 and parts[0][0] == 0:
            return parts[0][1]
        by_topic: dict[Topic, list[Output]] = {}
        rejected: list[Rejection] = []
        broadcasts: list[Broadcast] = []
        for first, part in parts:
            rejected += [Rejection(r.row + first, r.error) for r in part.rejected]
            broadcasts += [b._replace(row=b.row + first) for b in part.broadcasts]
            for topic, output in part.outputs.items():
                if len(output.row):
                    by_topic.setdefault(topic, []).append(output._replace(row=output.row + first))
        return Result({topic: _joined(outputs) for topic, outputs in by_topic.items()}, rejected, broadcasts)

    @staticmethod
    def merge(results: Sequence[Result]) -> Result:
        """Results of several steps over the same batch as one; a row is rejected once, for the first reason."""
        results = [result for result in results if result.outputs or result.rejected or result.broadcasts]
        if len(results) == 1:
            return results[0]
        by_topic: dict[Topic, list[Output]] = {}
        rejected: dict[int, Rejection] = {}
        for result in results:
            for one in result.rejected:
                rejected.setdefault(one.row, one)
            for topic, output in result.outputs.items():
                by_topic.setdefault(topic, []).append(output)
        outputs = {topic: _in_row_order(found) for topic, found in by_topic.items()}
        broadcasts = [b for result in results for b in result.broadcasts]
        return Result(outputs, sorted(rejected.values(), key=lambda r: r.row), sorted(broadcasts, key=lambda b: b.row))


def _in_row_order(outputs: Sequence[Output]) -> Output:
    """Outputs of several steps to one topic; those of one row in the order of the steps."""
    if len(outputs) == 1:
        return outputs[0]
    joined = _joined(outputs)
    order = np.argsort(joined.row, kind="stable")
    at = order.tolist()
    columns = {
        name: column[order] if isinstance(column, np.ndarray) else [column[k] for k in at]
        for name, column in joined.columns.items()
    }
    key = joined.key and [joined.key[k] for k in at]
    suffix = joined.suffix and [joined.suffix[k] for k in at]
    return Output(joined.row[order], columns, key, suffix)


def _joined(outputs: Sequence[Output]) -> Output:
    if len(outputs) == 1:
        return outputs[0]
    columns = {name: _concatenated([output.columns[name] for output in outputs]) for name in outputs[0].columns}
    row = np.concatenate([output.row for output in outputs])
    keys = [key for output in outputs for key in output.key or ()]
    suffixes = [suffix for output in outputs for suffix in output.suffix or ()]
    assert len(keys) in (0, len(row)), "all outputs of a topic have keys of their own, or none"
    assert len(suffixes) in (0, len(row)), "all outputs of a topic have suffixes, or none"
    return Output(row, columns, keys or None, suffixes or None)


def _concatenated(pieces: Sequence[Sequence[Any] | NDArray[Any]]) -> Sequence[Any] | NDArray[Any]:
    if isinstance(pieces[0], np.ndarray):
        return np.concatenate(pieces)
    return [value for piece in pieces for value in piece]
