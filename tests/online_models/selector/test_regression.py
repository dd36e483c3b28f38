"""Recursive least squares against the batch solution."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.selector.regression import (
    FORGETTING,
    PRIOR_VARIANCE,
    RESIDUAL_LIMIT,
    learn,
    predict,
    regression_dtype,
    start,
)

D = 4


class One:
    """A regression, fed by hand."""

    def __init__(self) -> None:
        self.state = np.zeros(1, regression_dtype(D))
        start(self.state)
        self.centred, self.gain = np.zeros(D + 1), np.zeros(D + 1)

    def predict(self, x: np.ndarray) -> float:
        return predict(self.state[0], x, self.centred)

    def learn(self, x: np.ndarray, y: float, importance: float = 1.0) -> None:
        learn(self.state[0], x, self.centred, y - self.predict(x), importance, self.gain)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("importance", [1.0, 0.1])
def test_weights_are_those_of_ridge_regression(seed: int, importance: float) -> None:
    rng = np.random.default_rng(seed)
    one = One()
    one.state["count"] = 10_000  # means stay at 0
    x = rng.normal(size=(300, D))
    y = x @ rng.normal(0, 0.1, D) + 0.05
    for row, target in zip(x, y, strict=True):
        one.learn(row, float(target), importance)
    full = np.column_stack([x, np.ones(len(x))])
    weight = importance * FORGETTING ** np.arange(len(x))[::-1]
    prior = FORGETTING ** len(x) / PRIOR_VARIANCE * np.eye(D + 1)
    expected = np.linalg.solve(full.T * weight @ full + prior, full.T * weight @ y)
    np.testing.assert_allclose(one.state["weight"][0], expected, rtol=1e-6, atol=1e-9)


def test_a_missing_input_is_its_mean() -> None:
    one = One()
    rng = np.random.default_rng(0)
    for _ in range(200):
        x = rng.normal(3.0, 1.0, D)
        one.learn(x, float(x[0] - 3.0))
    absent = np.full(D, 3.0)
    absent[0] = np.nan
    assert one.predict(absent) == pytest.approx(0.0, abs=0.15)
    assert one.state["count"][0].tolist() == [200] * D
    one.learn(absent, 0.0)
    assert one.state["count"][0].tolist() == [200, 201, 201, 201]


def test_an_outlier_moves_no_more_than_its_limit() -> None:
    far, limit = One(), One()
    far.learn(np.ones(D), 1e6)
    limit.learn(np.ones(D), RESIDUAL_LIMIT)
    np.testing.assert_array_equal(far.state["weight"], limit.state["weight"])


def test_what_nothing_excites_does_not_wind_up() -> None:
    one = One()
    x = np.zeros(D)
    one.state["count"] = 10_000
    for _ in range(100_000):
        one.learn(x, 0.0)
    assert np.trace(one.state["covariance"][0]) < 20 * PRIOR_VARIANCE * (D + 1)


def test_a_matrix_that_became_indefinite_starts_anew() -> None:
    one = One()
    one.state["covariance"] *= -1.0
    one.learn(np.ones(D), 1.0)
    np.testing.assert_array_equal(one.state["covariance"][0], PRIOR_VARIANCE * np.eye(D + 1))
