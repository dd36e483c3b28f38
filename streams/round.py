"""Batches of several partitions after their steps, as one: what is published of them is made in one go.

A state belongs to a partition, so each partition has a step of its own. Whatever comes before
and after costs as much for one record as for a hundred; done once for all partitions, a worker's round over
many quiet partitions is short.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from faust.types import TP
from numpy.typing import NDArray

from schemas.batch import Rejection, Result
from streams.chunk import Chunk, records_of
from streams.work import Work


@dataclass(slots=True)
class Round:
    """What steps made of chunks, one chunk a partition.

    Parameters
    ----------
    records
        All of them.
    tps, ends
        Their partitions, and where the records of each end.
    origin
        Of every record.
    result
        Of all steps.
    row
        int `[n]`: place among the records of each row of the result.
    origins, keys
        Of each row of the result.
    rejected
        By place among the records, by codec or step.
    """

    records: Sequence[Any]
    tps: Sequence[TP]
    ends: Sequence[int]
    origin: Sequence[bytes]
    result: Result
    row: NDArray[np.intp]
    origins: Sequence[bytes]
    keys: Sequence[bytes | None]
    rejected: list[Rejection]

    @classmethod
    def of(cls, chunks: Sequence[Chunk], stepped: Sequence[tuple[Work, Result]]) -> Round:
        """The round of chunks and of the works and results that these were decoded and stepped to, in order."""
        tps, ends = [chunk.tp for chunk in chunks], list(accumulate(map(len, chunks)))
        if len(stepped) == 1:
            ((work, result),) = stepped
            rejected = work.rejected + [Rejection(int(work.row[r]), error) for r, error in result.rejected]
            return cls(records_of(chunks), tps, ends, work.origin, result, work.row, work.origins, work.keys, rejected)
        begun = [cls.of([chunk], [one]) for chunk, one in zip(chunks, stepped, strict=True)]
        since = [0, *ends[:-1]]
        first = [0, *accumulate(len(one.row) for one in begun[:-1])]
        return cls(
            records_of(chunks), tps, ends, _joined([one.origin for one in begun]),
            Result.join([(at, one.result) for at, one in zip(first, begun, strict=True)]),
            np.concatenate([one.row + at for at, one in zip(since, begun, strict=True)]),
            _joined([one.origins for one in begun]), _joined([one.keys for one in begun]),
            [Rejection(r + at, error) for at, one in zip(since, begun, strict=True) for r, error in one.rejected],
        )  # fmt: skip

    def tp_of(self, record: int) -> TP:
        """Where a record was read."""
        return self.tps[bisect_right(self.ends, record)]


def _joined(lists: Sequence[Sequence[Any]]) -> list[Any]:
    return [one for some in lists for one in some]
