"""How far a model's confidence is believed after its errors drifted.

From the turn of the partition's clock that follows a drift alert, confidence is scaled by the share that the errors
which chance allowed have in those that were found: those of the alert first, then those since. It is believed again
when errors are back where they may be. Turns come in event time (`PartitionState.turn_ms`), so that a replay in other
batches turns at the same records.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numba.extending import register_jitable
from numpy.typing import NDArray

from online_models.drift.monitor import Shift
from online_models.slot import row_dtype

TRUST: Final = row_dtype(
    ("allowed", "f8"), ("found", "f8"), ("wrong", "f8"), ("seen", "f8"), ("turn", "i8"), ("factor", "f8")
)
"""Errors that chance allowed and that the alert found, errors since and of how many, and the factor since a turn."""

_LEAST: Final = 64
_MEMORY: Final = 512.0


class Trust:
    """The trust in one model.

    Parameters
    ----------
    turn_ms
        Event time between turns; a drift alert tells from the next one on.
    """

    def __init__(self, turn_ms: int) -> None:
        self._turn_ms = turn_ms
        self.memory = np.zeros(1, TRUST)
        self.renew()

    def renew(self) -> None:
        """Another model is in its place: nothing is known against it."""
        self.memory[0] = np.zeros((), TRUST)
        self.memory["factor"] = 1.0

    def take(self, row: NDArray[np.intp], error: NDArray[np.floating[Any]], shifts: Sequence[Shift]) -> None:
        """Take a batch in.

        Parameters
        ----------
        row
            Where its errors were seen, increasing, `[m]`.
        error
            The errors, 0..1, `[m]`; those of the last five hundred count.
        shifts
            Drift alerts in them, in their order; they tell from the next turn on, and errors count from there.
        """
        if self.memory["allowed"][0] == 0.0 and not shifts:
            return
        first = 0
        for shift in shifts:
            end = int(np.searchsorted(row, shift.row, side="right"))
            self._count(error[first:end].tolist())
            self._hear(shift)
            first = end
        self._count(error[first:].tolist())

    def _hear(self, shift: Shift) -> None:
        one = self.memory[0]
        one["allowed"], one["found"] = shift.threshold, shift.value
        one["wrong"] = one["seen"] = 0.0

    def _count(self, errors: Sequence[float]) -> None:
        one = self.memory[0]
        if one["allowed"] == 0.0:
            return
        total, seen = float(one["wrong"]), float(one["seen"])
        for error in errors:
            if seen >= _MEMORY:
                total -= total / seen
                seen -= 1.0
            total += error
            seen += 1.0
        one["wrong"], one["seen"] = total, seen

    def factor(self, clock_ms: int) -> float:
        """What confidence is scaled by at this time of the partition, 0..1."""
        one = self.memory[0]
        turn = clock_ms // self._turn_ms
        if turn != one["turn"]:
            one["turn"] = turn
            one["factor"] = self._factor()
        return float(one["factor"])

    def _factor(self) -> float:
        one = self.memory[0]
        if one["allowed"] == 0.0:
            return 1.0
        errors = float(one["wrong"] / one["seen"]) if one["seen"] >= _LEAST else float(one["found"])
        if errors > one["allowed"]:
            return float(one["allowed"]) / errors
        one["allowed"] = 0.0
        return 1.0


@register_jitable
def doubted(probability: Any, factor: float) -> Any:
    """Probabilities, or one, drawn towards one half.

    >>> doubted(np.array([0.9, 0.1, 0.5]), 0.5)
    array([0.7, 0.3, 0.5])
    """
    return probability if factor == 1.0 else 0.5 + factor * (probability - 0.5)
