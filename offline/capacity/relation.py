"""How a node's latency follows how busy its resources are: fitted to what was measured, with resamples by blocks.

`latency = base + sum over resources of weight * g(utilisation)`, weights not negative, with `g` the utilisation itself
or that of a queue, `u / (1 - u)`: the one that misses less of parts of the series it was not fitted to. Rows near each
other in time are alike, so resamples draw blocks of them (Kunsch, 1989, The jackknife and the bootstrap for general
stationary observations).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from offline.capacity.history import LEAST_POINTS

F64 = NDArray[np.float64]

LEAST_SPREAD: Final = 5.0
"""Percentage points between the 5th and 95th percentile that a resource must have moved."""

LEAST_R2: Final = 0.1
"""Share of latency's variance that must be explained on parts of the series that were not fitted to."""

SURE: Final = 0.99
"""Share of resamples in which a resource must raise latency."""

LEAST_GAIN: Final = 0.01
"""What R2 must lose, on parts that were not fitted to, without the resource."""

RESAMPLES: Final = 400
_BLOCKS: Final = 20
_FOLDS: Final = 5
_MOST_ROWS: Final = 2000
_FULL: Final = 0.99
"""A queue is taken to be no fuller than this."""

_NOTHING: Final = 1e-9


class Unsupported(Exception):
    """The measurements do not show how latency follows utilisation; the message says why."""


class Relation(NamedTuple):
    """What was found.

    Parameters
    ----------
    form
        `line` or `queue`.
    drivers
        Resources that raise latency beyond doubt, in order; others are in none of it.
    weight
        `[1 + resource]`, ms: base, then of each resource's `g`.
    resampled
        The same of every resample, `[resample, 1 + resource]`.
    r2
        Share of the variance explained on parts of the series that were not fitted to.
    least, most, busy
        1st, 99th and 95th percentile of each driver's utilisation, %.
    """

    form: str
    drivers: tuple[str, ...]
    weight: F64
    resampled: F64
    r2: float
    least: F64
    most: F64
    busy: F64

    def latency(self, utilisation: F64) -> F64:
        """Mean latency at these utilisations, % `[resource]`, in every resample, ms."""
        return np.asarray(self.resampled @ np.append(1.0, FORMS[self.form](utilisation)))

    def expected(self, utilisation: F64) -> float:
        """The same of the fit to everything, ms."""
        return float(self.weight @ np.append(1.0, FORMS[self.form](utilisation)))


def _line(utilisation: F64) -> F64:
    return utilisation / 100.0


def _queue(utilisation: F64) -> F64:
    share = np.minimum(utilisation / 100.0, _FULL)
    return np.asarray(share / (1.0 - share))


FORMS: Final[Mapping[str, Callable[[F64], F64]]] = {"line": _line, "queue": _queue}


def fit_relation(latency: F64, utilisation: Mapping[str, F64], seed: int = 1) -> Relation:
    """The relation of one node, or of nodes as one.

    Parameters
    ----------
    latency
        Means in order of time, ms, `[n]`; rows where anything is not finite are left out.
    utilisation
        By resource, %, `[n]` each.
    seed
        Of the resamples.

    Raises
    ------
    Unsupported
        When there are too few rows, nothing varied, or what varied does not explain latency.
    """
    names = tuple(utilisation)
    u = np.column_stack([utilisation[name] for name in names]) if names else np.zeros((len(latency), 0))
    good = np.isfinite(latency) & np.isfinite(u).all(axis=1)
    latency, u = latency[good], u[good]
    if len(latency) < LEAST_POINTS:
        raise Unsupported(f"{len(latency)} rows have latency and utilisation: at least {LEAST_POINTS} are needed")
    low, high = np.quantile(u, (0.05, 0.95), axis=0)
    moved = high - low >= LEAST_SPREAD
    if not moved.any():
        said = ", ".join(f"{n} {a:.0f} to {b:.0f} %" for n, a, b in zip(names, low, high, strict=True))
        raise Unsupported(f"no resource moved by {LEAST_SPREAD:g} points between its 5th and 95th percentile: {said}")
    names, u = tuple(n for n, m in zip(names, moved, strict=True) if m), u[:, moved]
    if not np.ptp(latency):
        raise Unsupported("latency never changed")
    rows = {form: _thinned(np.column_stack([g(u), latency])) for form, g in FORMS.items()}
    r2 = {form: _explained(x[:, :-1], x[:, -1]) for form, x in rows.items()}
    form = max(r2, key=lambda one: r2[one])
    if r2[form] < LEAST_R2:
        raise Unsupported(f"{', '.join(names)} explain {100 * max(r2[form], 0.0):.0f} % of latency's variance where "
                          f"it was not fitted: at least {100 * LEAST_R2:.0f} % are needed")  # fmt: skip
    x, y = rows[form][:, :-1], rows[form][:, -1]
    raises = (_resampled(x, y, seed)[:, 1:] > _NOTHING).mean(axis=0)
    gains = [r2[form] - _explained(np.delete(x, k, axis=1), y) for k in range(len(names))]
    told = zip(names, raises, gains, strict=True)
    driver = np.array([share >= SURE and gain >= LEAST_GAIN for _, share, gain in told])
    if not driver.any():
        said = ", ".join(f"{name} in {100 * share:.0f} %" for name, share in zip(names, raises, strict=True))
        raise Unsupported(f"what raises latency cannot be told apart: {said} of the resamples")
    x, u = x[:, driver], u[:, driver]
    least, most, busy = np.quantile(u, (0.01, 0.99, 0.95), axis=0)
    drivers = tuple(n for n, d in zip(names, driver, strict=True) if d)
    return Relation(form, drivers, _fitted(x, y), _resampled(x, y, seed), _explained(x, y), least, most, busy)


def _thinned(rows: F64) -> F64:
    """Means of as many neighbours as leave no more rows than are needed."""
    each = -(-len(rows) // _MOST_ROWS)
    return np.asarray(rows[len(rows) % each :].reshape(-1, each, rows.shape[1]).mean(axis=1))


def _fitted(x: F64, y: F64) -> F64:
    """Base of either sign, weights that are not negative, by least squares: `[1 + resource]`."""
    if not x.shape[1]:
        return np.array([y.mean()])
    mean, scale = x.mean(axis=0), np.maximum(x.std(axis=0), _NOTHING)
    # Centred, the base takes care of itself; on the small triangle as exact as on all rows, and quicker.
    triangle: F64 = np.array(np.linalg.qr(np.column_stack([(x - mean) / scale, y - y.mean()]), mode="r"))
    weight: F64 = nnls(triangle[:, :-1], triangle[:, -1])[0] / scale
    return np.append(y.mean() - weight @ mean, weight)


def _explained(x: F64, y: F64) -> float:
    """R2 over folds of neighbours, each predicted from the others, against the others' mean."""
    error = base = 0.0
    for fold in np.array_split(np.arange(len(y)), _FOLDS):
        rest = np.delete(np.arange(len(y)), fold)
        weight = _fitted(x[rest], y[rest])
        error += float(((y[fold] - weight[0] - x[fold] @ weight[1:]) ** 2).sum())
        base += float(((y[fold] - y[rest].mean()) ** 2).sum())
    return 1.0 - error / max(base, _NOTHING)


def _resampled(x: F64, y: F64, seed: int) -> F64:
    """Fits to as many blocks of neighbours as there are, drawn with repeats, `[resample, 1 + resource]`."""
    blocks = np.array_split(np.arange(len(y)), _BLOCKS)
    drawn = np.random.default_rng(seed).integers(0, _BLOCKS, (RESAMPLES, _BLOCKS))
    rows = (np.concatenate([blocks[k] for k in one]) for one in drawn.tolist())
    return np.array([_fitted(x[at], y[at]) for at in rows])
