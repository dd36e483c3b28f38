"""Methods that predict degradation, from the cheapest to the dearest.

Each has two heads, fitted and chosen apart: whether the objective breaks within the horizon, and by how much
the target will have changed. Probabilities are calibrated by Platt's method on the validation part, for
it keeps the order of the scores, and so their areas, where isotonic steps would tie them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from offline.training.performance_data import Rows
from online_models.performance.input import CURRENT, MARGIN, MEAN_10, RATIO

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Steps = Sequence[int]

TREES: Final = 200
PENALTIES: Final = (1e-3, 1e-2, 1e-1, 1.0)
"""Of the ridge, per training row."""

STRENGTHS: Final = (0.003, 0.03, 0.3)
"""Of the logistic regression: the inverse penalty."""


_PATIENCE: Final = 15
_SMALL: Final = 5_000
LIMIT: Final = 30.0
_REWEIGHTED: Final = 6
_LEAST_RESIDUAL: Final = 0.1


@dataclass(frozen=True, slots=True)
class Platt:
    """Calibrated log-odds: `slope * score + intercept`."""

    slope: float = 1.0
    intercept: float = 0.0

    @classmethod
    def fit(cls, score: F64, breach: NDArray[np.bool_]) -> Platt:
        """Fit to validation scores; the base rate where they have one class or the order turned around."""
        rate = (breach.sum() + 1.0) / (len(breach) + 2.0)
        flat = cls(0.0, float(np.log(rate / (1.0 - rate))))
        if not 0 < breach.sum() < len(breach) or np.ptp(score) == 0.0:
            return flat
        spread = float(score.std())
        line = LogisticRegression(C=100.0).fit((score / spread)[:, None], breach)
        slope = float(line.coef_[0, 0]) / spread
        return cls(slope, float(line.intercept_[0])) if slope > 0.0 else flat

    def probability(self, score: F64) -> F64:
        """Probabilities `[n]`."""
        odds = np.clip(self.slope * score + self.intercept, -LIMIT, LIMIT)
        return np.asarray(1.0 / (1.0 + np.exp(-odds)))


@dataclass(frozen=True, slots=True)
class Fitted:
    """A method after training.

    Parameters
    ----------
    name
        Of the method.
    score
        Log-odds of a breach before calibration, `[n]` of rows.
    change
        Changes `[n, k]` of rows, one column per fitted step.
    platt
        The calibration.
    parts
        What it was fitted to be, for the export.
    """

    name: str
    score: Callable[[Rows], F64]
    change: Callable[[Rows], F64]
    platt: Platt
    parts: Any = None

    def probability(self, rows: Rows) -> F64:
        """Calibrated probabilities `[n]`."""
        return self.platt.probability(self.score(rows))

    def value(self, rows: Rows) -> F64:
        """The target at each fitted step, `[n, k]`."""
        return rows.value(self.change(rows))


@dataclass(frozen=True, slots=True)
class Scaler:
    """Centre and spread of each column."""

    mean: F64
    std: F64

    @classmethod
    def fit(cls, x: F32) -> Scaler:
        """Of the training part; a column that does not vary is left at 0."""
        std = x.std(axis=0, dtype=np.float64)
        return cls(x.mean(axis=0, dtype=np.float64), np.where(std > 1e-6, std, 1e6))

    def scaled(self, x: F32) -> F64:
        """`[n, d]` in units of the training part."""
        return np.clip((x - self.mean) / self.std, -LIMIT, LIMIT)


@dataclass(frozen=True, slots=True)
class Lines:
    """A logistic regression and lines over the same scaled inputs."""

    scaler: Scaler
    breach: F64
    breach_bias: float
    change: F64
    change_bias: F64


def fit_persistence(training: Rows, validation: Rows, steps: Steps, seed: int) -> Fitted:
    """The present goes on: its ratio to the objective, and no change."""

    def score(rows: Rows) -> F64:
        return np.asarray(rows.x[:, RATIO], np.float64)

    return _calibrated("persistence", score, lambda rows: np.zeros((len(rows), len(steps))), validation)


def fit_average(training: Rows, validation: Rows, steps: Steps, seed: int) -> Fitted:
    """The mean of the last 10 samples goes on: its distance to the objective, and the change to it."""

    def score(rows: Rows) -> F64:
        return np.asarray(rows.x[:, MEAN_10] - rows.x[:, CURRENT] - rows.x[:, MARGIN], np.float64)

    def change(rows: Rows) -> F64:
        ahead = np.asarray(rows.x[:, MEAN_10] - rows.x[:, CURRENT], np.float64)
        return np.repeat(ahead[:, None], len(steps), axis=1)

    return _calibrated("moving_average", score, change, validation)


def fit_linear(training: Rows, validation: Rows, steps: Steps, seed: int) -> Fitted:
    """Logistic regression, and lines of least absolute error with a ridge; penalties by validation."""
    scaler = Scaler.fit(training.x)
    z, v = scaler.scaled(training.x), scaler.scaled(validation.x)
    weight, bias = _fit_logistic(z, training.breach, v, validation.breach)
    at = np.array(steps) - 1
    slopes, biases = _fit_ridge(z, training.change[:, at], v, validation.change[:, at])
    lines = Lines(scaler, weight, bias, slopes, biases)

    def score(rows: Rows) -> F64:
        return scaler.scaled(rows.x) @ weight + bias

    def change(rows: Rows) -> F64:
        return scaler.scaled(rows.x) @ slopes + biases

    return _calibrated("linear", score, change, validation, lines)


def fit_boosting(training: Rows, validation: Rows, steps: Steps, seed: int) -> Fitted:
    """Gradient-boosted trees, one ensemble per head and step, stopped by validation."""
    small = len(training) < _SMALL
    with threadpool_limits(1 if small else None):  # threads cost more than they do on few rows
        return _fit_boosting(training, validation, steps, seed, small)


def _fit_boosting(training: Rows, validation: Rows, steps: Steps, seed: int, small: bool) -> Fitted:
    shape: dict[str, Any] = {
        "learning_rate": 0.06, "max_iter": TREES, "max_leaf_nodes": 8 if small else 31, "l2_regularization": 1.0,
        "min_samples_leaf": 20 if small else 100, "max_features": 0.5, "early_stopping": True,
        "n_iter_no_change": _PATIENCE, "random_state": seed,
    }  # fmt: skip
    breach = None
    if 0 < training.breach.sum() < len(training) and 0 < validation.breach.sum() < len(validation):
        breach = HistGradientBoostingClassifier(**shape)
        breach.fit(training.x, training.breach, X_val=validation.x, y_val=validation.breach)
    changes = []
    for step in steps:
        trees = HistGradientBoostingRegressor(loss="absolute_error", **shape)
        y, y_val = training.change[:, step - 1], validation.change[:, step - 1]
        changes.append(trees.fit(training.x, y, X_val=validation.x, y_val=y_val))

    def score(rows: Rows) -> F64:
        return np.zeros(len(rows)) if breach is None else np.asarray(breach.decision_function(rows.x), np.float64)

    def change(rows: Rows) -> F64:
        return np.column_stack([trees.predict(rows.x) for trees in changes])

    return _calibrated("boosting", score, change, validation, (breach, changes))


Fit = Callable[[Rows, Rows, Steps, int], Fitted]

METHODS: Final[dict[str, Fit]] = {
    "persistence": fit_persistence,
    "moving_average": fit_average,
    "linear": fit_linear,
    "boosting": fit_boosting,
}
"""By what an answer costs; the recurrent network comes last (`offline.training.performance_lstm`)."""


def _calibrated(
    name: str, score: Callable[[Rows], F64], change: Callable[[Rows], F64], validation: Rows, parts: Any = None
) -> Fitted:
    return Fitted(name, score, change, Platt.fit(score(validation), validation.breach), parts)


def _fit_logistic(z: F64, y: NDArray[np.bool_], v: F64, y_val: NDArray[np.bool_]) -> tuple[F64, float]:
    if not 0 < y.sum() < len(y):
        return np.zeros(z.shape[1]), 0.0
    best: tuple[float, F64, float] | None = None
    for strength in STRENGTHS:
        line = LogisticRegression(C=strength, max_iter=300, tol=1e-3).fit(z, y)
        weight, bias = line.coef_[0], float(line.intercept_[0])
        odds = (v @ weight + bias) * np.where(y_val, 1.0, -1.0)
        loss = float(np.logaddexp(0.0, -odds).mean())
        if best is None or loss < best[0]:
            best = (loss, weight, bias)
    assert best is not None
    return best[1], best[2]


def _fit_ridge(z: F64, y: F64, v: F64, y_val: F64) -> tuple[F64, F64]:
    """Lines with the least absolute error on validation: least squares, reweighted towards least absolute errors."""
    slopes, biases = np.zeros((z.shape[1], y.shape[1])), np.zeros(y.shape[1])
    for k in range(y.shape[1]):
        found = []
        for penalty in PENALTIES:
            slope, bias = np.zeros(z.shape[1]), float(np.median(y[:, k]))
            for _ in range(_REWEIGHTED):
                importance = 1.0 / np.maximum(np.abs(y[:, k] - z @ slope - bias), _LEAST_RESIDUAL)
                slope, bias = _weighted_ridge(z, y[:, k], importance / importance.mean(), penalty)
            found.append((float(np.abs(v @ slope + bias - y_val[:, k]).mean()), slope, bias))
        _, slopes[:, k], biases[k] = min(found, key=lambda one: one[0])
    return slopes, biases


def _weighted_ridge(z: F64, y: F64, weight: F64, penalty: float) -> tuple[F64, float]:
    centre, mean = np.average(z, axis=0, weights=weight), float(np.average(y, weights=weight))
    apart = z - centre
    gram = (apart * weight[:, None]).T @ apart + penalty * len(z) * np.eye(z.shape[1])
    slope = np.linalg.solve(gram, apart.T @ (weight * (y - mean)))
    return np.asarray(slope, np.float64), float(mean - centre @ slope)
