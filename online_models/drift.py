"""Drift of a prequential error: River's ADWIN on sums of fixed-size blocks.

Fixed blocks make an alarm independent of how the stream was cut into batches, and
keep the detector off the hot path. A sum of many errors is near normal, which is what
the variance term of ADWIN's bound assumes, so sums are fed, not means: for means the
bound's range term (made for single values in 0..1) would drown every shift.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from river.drift import ADWIN

from schemas.batch import Batch, Output

BLOCK: Final = 32
"""Observations per block, unless a monitor says otherwise."""

_BLOCKS: Final = 4096
"""Blocks kept to say what changed, some hundred thousand observations."""


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
        self._detector = ADWIN(delta=delta, clock=1)
        self._sum = 0.0
        self._size = 0
        self._blocks: deque[float] = deque(maxlen=_BLOCKS)

    def update(self, rows: Sequence[int], errors: Sequence[float]) -> list[Shift]:
        """Feed observations in stream order.

        Parameters
        ----------
        rows
            Row of each observation.
        errors
            The observations, 0..1.
        """
        shifts = []
        for row, error in zip(rows, errors, strict=True):
            self._sum += error
            self._size += 1
            if self._size == self._block:
                shifts += self._close(row)
        return shifts

    def _close(self, row: int) -> list[Shift]:
        self._detector.update(self._sum)
        self._blocks.append(self._sum)
        self._sum, self._size = 0.0, 0
        if not self._detector.drift_detected:
            return []
        after, threshold = _strongest_cut(np.array(self._blocks), self._delta)
        window = len(self._blocks) * self._block
        self._blocks.clear()  # as River's detector does at its next update
        if after <= threshold:
            return []
        return [Shift(row, self, after / self._block, threshold / self._block, window)]


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
    }
    return Output(row, columns)
