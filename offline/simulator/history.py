"""History features: what each mechanism did lately on a link, from the past only.

An outcome is known when its transfer is complete, not when it starts. So starts and
completions are put on one time line, and each start reads what was complete by then.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

F64 = NDArray[np.float64]

WEIGHT: Final = 0.08
"""Weight of the newest outcome in the exponentially weighted mean."""

HDE, AMST = 0, 1
VALUES: Final = 4
"""Per side: HDE ratio, hit rate, latency, CPU; AMST streams, rate, latency, CPU."""


class Completions(NamedTuple):
    """Outcomes by the time they are known: arrays `[m]`, values `[m, 4]`."""

    time_ms: F64
    link: NDArray[np.int64]
    side: NDArray[np.int64]
    values: F64

    @classmethod
    def none(cls) -> Completions:
        """No outcome."""
        return cls(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, VALUES)))

    def join(self, other: Completions) -> Completions:
        """Both, in no order."""
        return Completions(
            np.concatenate([self.time_ms, other.time_ms]),
            np.concatenate([self.link, other.link]),
            np.concatenate([self.side, other.side]),
            np.concatenate([self.values, other.values]),
        )

    def where(self, mask: NDArray[np.bool_]) -> Completions:
        """Those of a mask."""
        return Completions(self.time_ms[mask], self.link[mask], self.side[mask], self.values[mask])


class History:
    """Exponentially weighted outcomes by link and side; NaN before the first."""

    def __init__(self, links: int) -> None:
        self.mean = np.full((links, 2, VALUES), np.nan)
        self._pending = Completions.none()

    def read(self, time_ms: F64, link: NDArray[np.int64], completed: Completions, end_ms: float) -> F64:
        """The history each transfer saw when it started, and move the state to `end_ms`.

        Parameters
        ----------
        time_ms, link
            Starts `[n]`, none before those of earlier calls.
        completed
            Outcomes of these transfers; those complete after `end_ms` wait for later calls.
        end_ms
            No later start comes before this.

        Returns
        -------
        Array `[n, side, value]`.
        """
        known = self._pending.join(completed)
        later = known.time_ms >= end_ms
        self._pending, known = known.where(later), known.where(~later)
        # Completions first: with a stable sort an outcome is known to a start of the same instant.
        order = np.argsort(np.concatenate([known.time_ms, time_ms]), kind="stable")
        out = np.empty((len(time_ms), 2, VALUES))
        _replay(order, known.link, known.side, known.values, link, self.mean, out)
        return out


@njit(cache=True)
def _replay(order, done_link, done_side, done_values, link, mean, out):  # type: ignore[no-untyped-def]
    """Walk the time line: completions update `mean`, starts copy it to `out`."""
    m = len(done_link)
    for entry in order:
        if entry >= m:
            out[entry - m] = mean[link[entry - m]]
            continue
        state = mean[done_link[entry], done_side[entry]]
        for k in range(state.shape[0]):
            value = done_values[entry, k]
            state[k] = value if np.isnan(state[k]) else state[k] + WEIGHT * (value - state[k])
