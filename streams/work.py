"""What a step is given: a partition's state, and records that were decoded for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.batch import Batch, Control, Rejection
from streams.agent import State


@dataclass(slots=True)
class Held:
    """A partition's state: what it has seen, and up to where.

    Parameters
    ----------
    state
        The agent's.
    next_offset
        Of its source; None before the first record.
    newest_origin
        Newest raw offset seen, by raw topic and partition.
    """

    state: State
    next_offset: int | None = None
    newest_origin: dict[bytes, int] = field(default_factory=dict)


class Placed(NamedTuple):
    """A control, and how many rows of the batch stand before it."""

    control: Control
    before: int


@dataclass(slots=True)
class Work:
    """Decoded records.

    Parameters
    ----------
    batch
        Those that a step takes.
    row
        Place among the records of each row of the batch, and after them of each control: rows of
        a result beyond the batch's are its controls.
    origin
        Of every record.
    rejected
        What did not decode, by place among the records.
    controls
        In their order.
    redelivered
        How many were left out because they were seen before.
    """

    batch: Batch
    row: NDArray[np.intp]
    origin: list[bytes]
    rejected: list[Rejection]
    controls: list[Placed] = field(default_factory=list)
    redelivered: int = 0

    def cut(self, partitions: Sequence[int], end: Sequence[int]) -> list[Work]:
        """The work of each partition, where the records of each end."""
        n = len(self.batch)
        place = self.row[:n]
        bounds = np.searchsorted(place, [0, *end]).tolist()
        pieces = []
        for partition, (since, to), (first, last) in zip(
            partitions, pairwise([0, *end]), pairwise(bounds), strict=True
        ):
            batch = self.batch.take(first, last)
            batch.partition = partition
            row = place[first:last] - since
            controls = []
            if self.controls:
                mine = [k for k, at in enumerate(self.row[n:].tolist()) if since <= at < to]
                controls = [self.controls[k]._replace(before=self.controls[k].before - first) for k in mine]
                row = np.append(row, self.row[n:][mine] - since)
            rejected = [Rejection(r.row - since, r.error) for r in self.rejected if since <= r.row < to]
            pieces.append(Work(batch, row, self.origin[since:to], rejected, controls))
        return pieces

    @property
    def origins(self) -> list[bytes]:
        """Origin of each row of a result."""
        return (
            self.batch.origin + [placed.control.origin for placed in self.controls]
            if self.controls
            else self.batch.origin
        )

    @property
    def keys(self) -> list[bytes | None]:
        """Key of each row of a result."""
        return self.batch.key + [None] * len(self.controls) if self.controls else self.batch.key
