"""Recursive least squares is River's Bayesian linear regression, until outliers and forgetting come in."""

from __future__ import annotations

import numpy as np
import pytest
from river.linear_model import BayesianLinearRegression

from online_models.recursive import (
    PRIOR_VARIANCE,
    learn_along,
    learn_linear,
    packed_size,
    predict_linear,
    start_regression,
)

FEATURES = 6


def learned(x: np.ndarray, y: np.ndarray, forgetting: float = 1.0, dtype: type = np.float64) -> np.ndarray:
    """What is predicted of each row before it is learnt, `[n]`."""
    weight, covariance = np.zeros(x.shape[1], dtype), np.zeros(packed_size(x.shape[1]), dtype)
    start_regression(covariance, x.shape[1])
    gain, found = np.empty(x.shape[1]), np.empty(len(y))
    for k in range(len(y)):
        found[k] = predict_linear(weight, x[k])
        learn_linear(weight, covariance, x[k], y[k], forgetting, gain)
    return found


def stream(n: int, seed: int, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Rows whose answers are so small that no residual counts as an outlier."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-1.0, 1.0, (n, FEATURES))
    return x, x @ rng.uniform(-0.1, 0.1, FEATURES) + noise * rng.uniform(-1.0, 1.0, n)


@pytest.mark.parametrize("seed", range(4))
def test_predictions_are_rivers(seed: int) -> None:
    x, y = stream(300, seed)
    river = BayesianLinearRegression(alpha=1.0 / PRIOR_VARIANCE, beta=1.0)
    expected = []
    for row, answer in zip(x.tolist(), y.tolist(), strict=True):
        features = dict(enumerate(row))
        expected.append(river.predict_one(features))
        river.learn_one(features, answer)
    np.testing.assert_allclose(learned(x, y), expected, rtol=1e-9, atol=1e-12)


def test_single_precision_is_nearly_the_same() -> None:
    x, y = stream(2000, 0)
    np.testing.assert_allclose(learned(x, y, 0.999, np.float32), learned(x, y, 0.999), atol=1e-4)


def test_outliers_move_the_weights_less() -> None:
    x, y = stream(400, 1)
    wild = y.copy()
    wild[200::20] += 50.0
    river = BayesianLinearRegression(alpha=1.0 / PRIOR_VARIANCE, beta=1.0)
    squared = []
    for row, answer in zip(x.tolist(), wild.tolist(), strict=True):
        squared.append(river.predict_one(dict(enumerate(row))))
        river.learn_one(dict(enumerate(row)), answer)
    assert np.abs(learned(x, wild) - y)[200:].mean() < 0.3 * np.abs(np.array(squared) - y)[200:].mean()


def test_forgetting_follows_a_change() -> None:
    x, y = stream(3000, 2)
    y[1500:] *= -1.0
    error = {forgetting: np.abs(learned(x, y, forgetting) - y)[2000:].mean() for forgetting in (1.0, 0.99)}
    assert error[0.99] < 0.7 * error[1.0]


def test_a_regression_along_another_ones_covariance_learns_the_same_answers() -> None:
    x, y = stream(1500, 3, noise=0.0)
    weight, along, covariance = np.zeros(FEATURES), np.zeros(FEATURES), np.zeros(packed_size(FEATURES))
    start_regression(covariance, FEATURES)
    gain = np.empty(FEATURES)
    for row, answer in zip(x, y, strict=True):
        residual = answer - predict_linear(along, row)
        spread = learn_linear(weight, covariance, row, answer, 1.0, gain)
        learn_along(along, gain, spread, 1.0, residual)
    np.testing.assert_allclose(along, weight, atol=1e-9)
