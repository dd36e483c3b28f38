"""Which method ships: the cheapest that no dearer one beats by more than 1 %, and not by luck.

Methods are compared on the same rows, resampled in blocks of one node's neighbouring rows (their labels overlap), all
methods with the same blocks. A dearer method counts as better where at least 90 % of the resamples say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.training.performance_data import Rows
from offline.training.performance_model import Fitted

F64 = NDArray[np.float64]

RESAMPLES: Final = 200
BLOCK_ROWS: Final = 60
"""Neighbouring rows of a node in a block: twelve horizons."""

TOLERANCE: Final = 0.01
SURE: Final = 0.9


def block_counts(rows: Rows, seed: int = 0, many: int = RESAMPLES) -> F64:
    """How often each row is drawn by each resample, `[many, row]`; all rows of a block alike.

    Parameters
    ----------
    rows
        In order of time.
    seed
        Of the resamples.
    """
    order = np.argsort(rows.node, kind="stable")
    node = rows.node[order]
    first = np.searchsorted(node, node)
    place = (np.arange(len(node)) - first) // BLOCK_ROWS
    _, block = np.unique(np.column_stack([node, place]), axis=0, return_inverse=True)
    of = np.empty(len(node), np.intp)
    of[order] = block.ravel()
    count = int(of.max(initial=-1)) + 1
    drawn = np.random.default_rng(seed).multinomial(count, np.full(count, 1.0 / count), size=many)
    return drawn[:, of].astype(np.float64)


def areas(probability: F64, breach: NDArray[np.bool_], counts: F64) -> F64:
    """Average precision of every resample, `[many]`; NaN where one drew no breach.

    >>> areas(np.array([0.9, 0.8, 0.1]), np.array([True, False, True]), np.ones((1, 3))).round(4).tolist()
    [0.8333]
    """
    order = np.argsort(-probability, kind="stable")
    said = probability[order]
    last = np.append(said[1:] != said[:-1], True)
    found = np.empty(len(counts))
    for k, drawn in enumerate(counts):
        weight = drawn[order]
        right = np.cumsum(weight * breach[order])[last]
        asked = np.cumsum(weight)[last]
        gained = np.diff(right, prepend=0.0)
        precision = right / np.maximum(asked, 1e-300)
        found[k] = float(gained @ precision) / right[-1] if right[-1] > 0.0 else np.nan
    return found


def cheapest(loss: dict[str, F64], tolerance: float = TOLERANCE) -> str:
    """The first that no later one beats by more than a share of its loss in 90 % of the resamples.

    Parameters
    ----------
    loss
        By method, in order of cost: what it lost in each resample, `[many]`; NaN says nothing.

    >>> cheapest({"line": np.array([1.0, 1.2]), "trees": np.array([1.1, 1.0])})
    'line'
    """
    names = list(loss)
    for k, name in enumerate(names):
        if not any(_beats(loss[other], loss[name], tolerance) for other in names[k + 1 :]):
            return name
    return names[-1]


def _beats(one: F64, other: F64, tolerance: float) -> bool:
    known = np.isfinite(one) & np.isfinite(other)
    return bool(known.any()) and float((one < other - tolerance * np.abs(other))[known].mean()) >= SURE


def choose_breach(fitted: Sequence[Fitted], validation: Rows) -> str:
    """The cheapest method by average precision on validation."""
    counts = block_counts(validation)
    return cheapest({one.name: -areas(one.probability(validation), validation.breach, counts) for one in fitted})


def choose_latency(fitted: Sequence[Fitted], validation: Rows, steps: Sequence[int]) -> str:
    """The cheapest method by mean absolute error on validation."""
    counts = block_counts(validation)
    actual = validation.future[:, np.array(steps) - 1]
    loss = {one.name: np.abs(one.value(validation) - actual).mean(axis=1) for one in fitted}
    return cheapest({name: counts @ error / np.maximum(counts.sum(axis=1), 1.0) for name, error in loss.items()})


def likely_ratio(one: F64, base: F64, breach: NDArray[np.bool_], counts: F64) -> float:
    """The most that average precision over the base's may be with 95 %; NaN where it is undefined."""
    ratio = areas(one, breach, counts) / areas(base, breach, counts)
    ratio = ratio[np.isfinite(ratio)]
    return float(np.quantile(ratio, 0.95)) if len(ratio) else float("nan")
