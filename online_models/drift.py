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

BLOCK: Final = 64
"""Observations per block."""


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
        Observations in the window before it was cut.
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
    delta
        ADWIN's significance per check (Bifet and Gavalda, 2007); a check is one block.
    """

    def __init__(self, model: str, feature: str, version: str, delta: float = 1e-4) -> None:
        self.model = model
        self.feature = feature
        self.version = version
        self._delta = delta
        self._detector = ADWIN(delta=delta, clock=1)
        self._sum = 0.0
        self._size = 0

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
            if self._size == BLOCK:
                shifts += self._close(row)
        return shifts

    def _close(self, row: int) -> list[Shift]:
        detector = self._detector
        width, total, variance = detector.width, detector.total, detector.variance
        detector.update(self._sum)
        width, total = width + 1, total + self._sum
        self._sum, self._size = 0.0, 0
        if not detector.drift_detected:
            return []
        kept = detector.width
        old = width - kept
        after = detector.total / kept
        before = (total - detector.total) / old if old > 0 else after
        if after <= before:
            return []
        threshold = before + _bound(old, kept, variance, self._delta)
        return [Shift(row, self, after / BLOCK, threshold / BLOCK, width * BLOCK)]


def _bound(old: int, new: int, variance: float, delta: float) -> float:
    """ADWIN's epsilon_cut for windows of `old` and `new` values (Bifet and Gavalda, 2007, section 4.1)."""
    harmonic = 1.0 / old + 1.0 / new
    level = math.log(2.0 * math.log(old + new) / delta)
    return math.sqrt(2.0 * harmonic * variance * level) + 2.0 / 3.0 * harmonic * level


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
