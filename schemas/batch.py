"""A batch is a table: what an agent's step takes, and what it gives back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


@dataclass(slots=True)
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
    """

    topic: Topic
    partition: int
    columns: Columns
    key: list[bytes | None]
    offset: NDArray[np.int64]
    origin: list[bytes]

    def __len__(self) -> int:
        return len(self.key)


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
    """

    row: NDArray[np.intp]
    columns: Mapping[str, Sequence[Any] | NDArray[Any]]
    key: Sequence[bytes] | None = None


class Rejection(NamedTuple):
    """An input row that yields no output: to the dead-letter or the late topic."""

    row: int
    error: RecordError


@dataclass(slots=True)
class Result:
    """What one step gives back: records by topic, and the rows it rejects."""

    outputs: Mapping[Topic, Output] = field(default_factory=dict)
    rejected: Sequence[Rejection] = ()
