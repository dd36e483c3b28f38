"""Possible futures of a resource, and from them by when a level is reached."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.capacity.blend import Outlook
from offline.capacity.interval import OTHER_SIDE

PATHS: Final = 400
APART: Final = 2.0
"""How far beyond the method it was drawn for a path goes, in distances of that method from the blend."""

SPREAD: Final = 0.5
"""Deviation of the logarithm of how far a path's hours are off: the highest hour to come may be higher than any was."""

LIKELY: Final = 0.25
"""Share of futures from which a level counts as reached: help that comes too late costs more than a look in vain."""


def simulate(outlook: Outlook, seed: int = 1, bursts: bool = False) -> NDArray[np.float64]:
    """Futures as the methods see them, with the errors that past forecasts made, `[path, step]`.

    A path is the forecast moved towards and past one method's, drawn by its weight, plus the block means of
    one past origin's errors, as they went or mirrored, plus for each block how the steps of some past block were off.
    Errors of a horizon that was never seen whole go on from the last block seen.

    Parameters
    ----------
    bursts
        Whether paths are those of single steps: with the outliers of past blocks, and each path's steps more or less
        off than the past's. Otherwise they are of what lasts, for which capacity is added.
    """
    rng = np.random.default_rng(seed)
    level, inner = _parts(outlook.residual)
    origin = rng.integers(0, len(level), PATHS)
    sign = np.where(rng.random(PATHS) < 0.5, 1.0, -OTHER_SIDE)[:, None]
    method = rng.choice(len(outlook.apart), PATHS, p=list(outlook.weights.values()))
    horizon, step = outlook.predicted.shape
    moved = APART * outlook.apart[method] + sign * level[origin]
    off = inner[rng.integers(0, len(inner), (PATHS, horizon))]
    if bursts:
        off = off + outlook.bursts[rng.integers(0, len(outlook.bursts), (PATHS, horizon))]
        off = off * np.exp(SPREAD * rng.normal(size=(PATHS, 1, 1)))
    error = moved[:, :, None] + off
    return (outlook.predicted + error).reshape(PATHS, horizon * step)


def _parts(residual: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Errors as block means `[origin, block]` and what is left of each known block `[k, step]`."""
    known = np.any(np.isfinite(residual), axis=2)
    kept = known.sum(axis=1) >= min(int(known.sum(axis=1).max()), max(1, known.shape[1] // 2))
    mean = np.nansum(residual, axis=2) / np.maximum(np.isfinite(residual).sum(axis=2), 1)
    level = mean[kept]
    for row, there in zip(level, known[kept], strict=True):
        last = int(np.flatnonzero(there)[-1])
        recent = row[max(0, last - 6) : last + 1].mean()
        row[last + 1 :] = recent * np.sqrt(np.arange(last + 2, len(row) + 1) / (last + 1))
    inner = (residual - mean[:, :, None])[known]
    return level, np.nan_to_num(inner)


def reached_by(paths: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    """Share of the paths that have reached a level by each step, `[step]`; never decreases.

    >>> reached_by(np.array([[1.0, 3.0, 1.0], [1.0, 1.0, 1.0]]), 2.0).tolist()
    [0.0, 0.5, 0.5]
    """
    found: NDArray[np.float64] = np.logical_or.accumulate(paths >= level, axis=1).mean(axis=0)
    return found


def first_reached(predicted: NDArray[np.float64], chance: NDArray[np.float64], level: float) -> int | None:
    """The step at which a forecast reaches a level, or one future in four has reached it; None for never.

    The mean alone is late: what is noisy reaches a level before its mean does, and
    growth that began lately is believed slowly.

    Parameters
    ----------
    predicted, chance
        `[step]`; the chance as `reached_by` has it.
    """
    found = np.flatnonzero((predicted >= level) | (chance >= LIKELY))
    return int(found[0]) if len(found) else None
