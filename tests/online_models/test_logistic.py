"""The compiled logistic regression against River's own objects."""

from __future__ import annotations

import math

import numpy as np
import pytest
from river import linear_model, optim, preprocessing

from online_models.logistic import INTERCEPT_RATE, LEARNING_RATE, Logistic, learn, probability


def _data(n: int, d: int, missing: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d)) * 10.0 ** rng.integers(-2, 3, d) + rng.normal(size=d)
    y = (x[:, 0] / np.abs(x[:, 0]).mean() + rng.normal(size=n) > 0).astype(np.int64)
    x[:, -1] = 3.0  # a constant has no variance and must not divide by it
    x[rng.random(x.shape) < missing] = np.nan
    return x, y


def _row(x: np.ndarray) -> dict[str, float]:
    return {f"f{j}": float(v) for j, v in enumerate(x) if not math.isnan(v)}


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("importance", [1.0, 0.1])
def test_every_prediction_equals_rivers(missing: float, seed: int, importance: float) -> None:
    x, y = _data(400, 6, missing, seed)
    ours = Logistic([f"f{j}" for j in range(6)])
    scaler = preprocessing.StandardScaler()
    model = linear_model.LogisticRegression(optim.SGD(LEARNING_RATE), intercept_lr=INTERCEPT_RATE)
    for row, label in zip(x, y, strict=True):
        expected = model.predict_proba_one(scaler.transform_one(_row(row)))[True]
        assert probability(ours.state, ours.intercept, row) == pytest.approx(expected, abs=1e-9)
        scaler.learn_one(_row(row))
        model.learn_one(scaler.transform_one(_row(row)), bool(label), w=importance)
        learn(ours.state, ours.intercept, row, label, importance)


@pytest.mark.parametrize("seed", range(3))
def test_the_exported_pipeline_predicts_and_learns_the_same(seed: int) -> None:
    x, y = _data(600, 5, 0.1, seed)
    ours = Logistic([f"f{j}" for j in range(5)])
    for row, label in zip(x[:300], y[:300], strict=True):
        learn(ours.state, ours.intercept, row, label, 1.0)
    pipeline = ours.to_river()
    for row, label in zip(x[300:], y[300:], strict=True):
        expected = pipeline.predict_proba_one(_row(row))[True]
        assert probability(ours.state, ours.intercept, row) == pytest.approx(expected, abs=1e-9)
        pipeline.learn_one(_row(row), bool(label))
        learn(ours.state, ours.intercept, row, label, 1.0)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e6, 1e12])
def test_extreme_features_keep_the_model_finite(size: float) -> None:
    ours = Logistic(["a", "b"])
    rng = np.random.default_rng(0)
    for _ in range(200):
        row = rng.normal(size=2) * size
        learn(ours.state, ours.intercept, row, int(row[0] > 0), 1.0)
        assert 0.0 <= probability(ours.state, ours.intercept, row) <= 1.0
    assert np.isfinite(ours.state["weight"]).all()
