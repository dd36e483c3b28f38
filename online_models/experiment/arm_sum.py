"""What an experiment remembers: counts and sums per link, stage and arm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.experiment.link_sum import LinkSums
from online_models.slot import row_dtype
from schemas.experiment import RAMP_PCT

STAGES: Final = len(RAMP_PCT)


class ArmSums(LinkSums):
    """Of every link: `requests` `[stage, arm]`; `known` and `total` `[stage, arm, metric]`, values and their sum.

    Stages are kept apart, because the arms' shares differ between them: pooled, a link that was fast
    while the treatment was small would count as an effect.

    Parameters
    ----------
    metrics
        Names of the measured values, in order.
    """

    def __init__(self, metrics: Sequence[str]) -> None:
        self.metrics = list(metrics)
        shape = (STAGES, 2, len(self.metrics))
        row = row_dtype(("requests", "i8", (STAGES, 2)), ("known", "i8", shape), ("total", "f8", shape))
        super().__init__(row, f"arms of {', '.join(metrics)}")

    def requests(self, arm: int) -> int:
        """Requests in an arm so far."""
        return int(self.rows["requests"][:, :, arm].sum())

    def add(self, link: Sequence[bytes], ramp_pct: int, arm: NDArray[np.int8], values: NDArray[np.float64]) -> None:
        """Count requests that were served while the ramp stood at `ramp_pct`.

        Parameters
        ----------
        link
            Keys of the links, `n` of them.
        ramp_pct
            One of `RAMP_PCT`.
        arm
            Of each request, `[n]`; those of neither (-1) are left out.
        values
            `[n, metric]`; what is not a finite number counts as not measured.
        """
        counted = arm >= 0
        slot = self._table.index([key for key, kept in zip(link, counted.tolist(), strict=True) if kept])
        if not len(slot):
            return
        rows = self.rows
        stage = RAMP_PCT.index(ramp_pct)
        _add(rows["requests"], rows["known"], rows["total"], slot, stage, arm[counted], values[counted])


@njit(cache=True)
def _add(
    requests: NDArray[Any], known: NDArray[Any], total: NDArray[Any], slot: NDArray[np.intp], stage: int,
    arm: NDArray[np.int8], values: NDArray[np.float64],
) -> None:  # fmt: skip
    for row in range(len(slot)):
        at, side = slot[row], arm[row]
        requests[at, stage, side] += 1
        for metric in range(values.shape[1]):
            if np.isfinite(values[row, metric]):
                known[at, stage, side, metric] += 1
                total[at, stage, side, metric] += values[row, metric]
