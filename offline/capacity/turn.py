"""Where a series turned lately: a constant, a line, a step or a bend, whichever explains its last blocks best."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

BEFORE: Final = 7
AFTER: Final = 4
"""Least blocks before and after a turn."""

PENALTY: Final = 2.0
"""Of a parameter, in logarithms of the number of blocks: twice Bayes' criterion, for blocks are not independent."""

_PARAMETERS: Final = {"constant": 1, "line": 2, "step": 3, "bend": 4}


def last_line(z: F64) -> tuple[float, float]:
    """Level at the last block and slope per block of the shape that explains `z` best.

    Shapes are compared by a Bayesian criterion; where a turn lies counts as a parameter.

    >>> level, slope = last_line(np.r_[np.full(20, 5.0), 5.0 + np.arange(1.0, 11.0)])
    >>> round(level, 6), round(slope, 6)
    (15.0, 1.0)
    """
    n = len(z)
    basis, ends, parameters = _shapes(n)
    centre = float(z.mean())
    y = z - centre
    total = float(y @ y)
    left = np.maximum(total - ((basis @ y) ** 2).sum(axis=1), 0.0) + 1e-9 * total + 1e-300
    best = int(np.argmin(n * np.log(left) + PENALTY * np.log(n) * parameters))
    level, slope = ends[best] @ y
    return centre + float(level), float(slope)


@lru_cache(maxsize=64)
def _shapes(n: int) -> tuple[F64, F64, F64]:
    """Every shape over `n` blocks: orthonormal bases `[shape, 3, n]`, maps to end and slope `[shape, 2, n]`, sizes."""
    t = np.arange(n, dtype=np.float64)
    one = np.ones(n)
    turns = range(BEFORE, n - AFTER + 1)
    shapes = [("constant", one[:, None])]
    if n > BEFORE:
        shapes.append(("line", np.column_stack([one, t])))
    shapes += [("step", np.column_stack([one, t >= at])) for at in turns]
    shapes += [("bend", np.column_stack([one, t, np.maximum(t - at + 1, 0.0)])) for at in turns]
    basis, ends = np.zeros((len(shapes), 3, n)), np.zeros((len(shapes), 2, n))
    for k, (name, design) in enumerate(shapes):
        q, _ = np.linalg.qr(design)
        basis[k, : q.shape[1]] = q.T
        solved = np.linalg.pinv(design)
        ends[k, 0] = design[-1] @ solved
        if name in ("line", "bend"):
            ends[k, 1] = solved[1:].sum(axis=0)
    return basis, ends, np.array([float(_PARAMETERS[name]) for name, _ in shapes])
