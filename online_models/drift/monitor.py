"""Drift of a prequential error: River's ADWIN on sums of fixed-size blocks.

Fixed blocks make an alarm independent of how the stream was cut into batches, and
keep the detector off the hot path. A sum of many errors is near normal, which is what
the variance term of ADWIN's bound assumes, so sums are fed, not means: for means the
bound's range term (made for single values in 0..1) would drown every shift.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN

from schemas.batch import Batch, Output

BLOCK: Final = 32
"""Observations per block, unless a monitor says otherwise."""

_BLOCKS: Final = 2048
"""Blocks remembered at most; beyond that the older half is forgotten."""

MEMORY: Final = np.dtype([("sum", "f8"), ("size", "i8"), ("count", "i8"), ("block", "f8", (_BLOCKS,))])
"""All that a monitor knows: the open block, and the closed ones since the last change."""


class Shift(NamedTuple):
    """A rise of the mean error, seen at a row of the batch.

    Parameters
    ----------
    row
        Row whose observation completed the block.
    monitor
        Who saw it.
    value, threshold
        Mean error since the change, and the highest that chance allows (both per observation).
    window
        Observations the detector held when it cut.
    """

    row: int
    monitor: DriftMonitor
    value: float
    threshold: float
    window: int


class DriftMonitor:
    """Watches one error stream with values in 0..1 and reports when its mean has risen.

    Falls (a model still learning) shorten the window without a report.

    Parameters
    ----------
    model, feature, version
        What is watched, for the alert.
    block
        Observations per block. A cut needs five blocks on either side, so a burst of
        errors that an adaptive model gets over quickly is only seen by small blocks.
    delta
        ADWIN's significance per check (Bifet and Gavalda, 2007); a check is one block.
    """

    def __init__(self, model: str, feature: str, version: str, block: int = BLOCK, delta: float = 1e-4) -> None:
        self.model = model
        self.feature = feature
        self.version = version
        self._block = block
        self._delta = delta
        self.memory = np.zeros(1, MEMORY)
        self.rebuild()

    def rebuild(self) -> None:
        """Make the detector anew from the memory: its state is a function of the blocks since the last change."""
        self._detector = ADWIN(delta=self._delta, clock=1)
        memory = self.memory[0]
        for total in memory["block"][: memory["count"]].tolist():
            self._detector.update(total)

    def update(self, rows: Sequence[int], errors: Sequence[float]) -> list[Shift]:
        """Feed observations in stream order.

        Parameters
        ----------
        rows
            Row of each observation.
        errors
            The observations, 0..1.
        """
        if not rows:
            return []
        shifts = []
        memory = self.memory[0]
        total, size = float(memory["sum"]), int(memory["size"])
        for row, error in zip(rows, errors, strict=True):
            total += error
            size += 1
            if size == self._block:
                shifts += self._close(row, total)
                total, size = 0.0, 0
        memory["sum"], memory["size"] = total, size
        return shifts

    def _close(self, row: int, total: float) -> list[Shift]:
        memory = self.memory[0]
        if memory["count"] == _BLOCKS:
            half = _BLOCKS // 2
            memory["block"][:half] = memory["block"][half:]
            memory["count"] = half
            self.rebuild()
        self._detector.update(total)
        count = int(memory["count"]) + 1
        memory["block"][count - 1] = total
        memory["count"] = count
        if not self._detector.drift_detected:
            return []
        after, threshold = _strongest_cut(memory["block"][:count], self._delta)
        memory["count"] = 0  # River's detector forgets as well, at its next update
        memory["block"] = 0.0
        if after <= threshold:
            return []
        return [Shift(row, self, after / self._block, threshold / self._block, count * self._block)]


def _strongest_cut(blocks: NDArray[np.float64], delta: float) -> tuple[float, float]:
    """Mean after the cut that ADWIN's bound is exceeded most at, and the bound above the mean before.

    The bound is epsilon_cut of Bifet and Gavalda, 2007, section 4.1, for windows of `old`
    and `new` values.
    """
    n = len(blocks)
    new = np.arange(1, n)
    old = n - new
    after = np.cumsum(blocks[::-1])[:-1] / new
    before = np.cumsum(blocks)[-2::-1] / old
    harmonic = 1.0 / old + 1.0 / new
    level = math.log(2.0 * math.log(n) / delta)
    bound = np.sqrt(2.0 * harmonic * blocks.var() * level) + 2.0 / 3.0 * harmonic * level
    best = int(np.argmax(after - before - bound))
    return float(after[best]), float(before[best] + bound[best])


def alerts(batch: Batch, shifts: Iterable[Shift]) -> Output | None:
    """Drift alerts as columns, in row order; None when there are none."""
    found = sorted(shifts, key=lambda shift: (shift.row, shift.monitor.model, shift.monitor.feature))
    if not found:
        return None
    row = np.array([shift.row for shift in found], np.intp)
    columns: dict[str, Sequence[Any] | NDArray[Any]] = {
        "timestamp": batch.columns["timestamp"][row],
        "model": [shift.monitor.model for shift in found],
        "feature": [shift.monitor.feature for shift in found],
        "statistic": ["adwin"] * len(found),
        "value": [shift.value for shift in found],
        "threshold": [shift.threshold for shift in found],
        "window": [shift.window for shift in found],
        "reference_version": [shift.monitor.version for shift in found],
        "level": ["alert"] * len(found),
    }
    return Output(row, columns)
