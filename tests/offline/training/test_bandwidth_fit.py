"""Fitted models: ONNX answers as the library that trained it, and better than the bars where that can be."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from offline.training.bandwidth_input import split_rows
from offline.training.bandwidth_model import fit_model, forecast_rows, missing_extra
from offline.training.bandwidth_score import mean_ratio, score
from offline.training.bandwidth_trace import BARS
from offline.training.course import Course
from offline.training.ridge import fit_ridge
from offline.training.tree import round_down
from online_models.onnx_model import open_session, run_session
from schemas.network import HORIZON_MS
from tests.offline.training.link_samples import long_trace, small_trace


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Threads that wait for each other are slow beside other tests."""
    threads = pytest.importorskip("threadpoolctl", reason="comes with scikit-learn: the train extra is not installed")
    with threads.threadpool_limits(1):
        yield


def _linear(seed: int = 0, n: int = 400) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(n, 12)).astype(np.float32)
    weight = np.random.default_rng(9).normal(size=(12, 4))
    return z, (z @ weight + 0.5 + 0.1 * rng.normal(size=(n, 4))).astype(np.float32)


def test_ridge_finds_a_straight_line() -> None:
    body = fit_ridge(*_linear(0), *_linear(1))
    z, y = _linear(2)
    found = run_session(open_session(body.SerializeToString()), z)["difference"]
    assert np.abs(found - y).mean() < 0.1


def test_trees_in_onnx_are_the_trees() -> None:
    boosting = pytest.importorskip("offline.training.boosting", reason="the train extra is not installed")
    z, y = _linear(0, 900)
    ensembles = boosting.fit_boosting(z, y, *_linear(1), seed=3, say=lambda line: None)
    content = boosting.trees_body(z.shape[1], ensembles).SerializeToString()
    asked = np.concatenate([_linear(2)[0], z])  # training rows lie on thresholds
    found = run_session(open_session(content), asked)["difference"]
    expected = np.column_stack([trees.predict(asked) for trees in ensembles])
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_targets_and_columns_that_never_move_need_no_trees() -> None:
    boosting = pytest.importorskip("offline.training.boosting", reason="the train extra is not installed")
    (z, y), (z_validation, y_validation) = _linear(0, 600), _linear(1)
    z[:, [0, 5]] = y[:, 1] = y_validation[:, 1] = 0.25
    ensembles = boosting.fit_boosting(z, y, z_validation, y_validation, seed=0, say=lambda line: None)
    assert [one.trees is None for one in ensembles] == [False, True, False, False]
    content = boosting.trees_body(z.shape[1], ensembles).SerializeToString()
    found = run_session(open_session(content), z_validation)["difference"]
    np.testing.assert_array_equal(found[:, 1], 0.25)
    for m in (0, 2, 3):
        expected = ensembles[m].trees.predict(np.delete(z_validation, [0, 5], axis=1))
        np.testing.assert_allclose(found[:, m], expected, rtol=1e-5, atol=1e-5)


def test_nothing_that_moves_is_still_a_model() -> None:
    boosting = pytest.importorskip("offline.training.boosting", reason="the train extra is not installed")
    z, y = _linear(0)
    still = np.broadcast_to(np.array([0.0, 1.0, -2.0, 0.5], np.float32), y.shape)
    content = boosting.trees_body(z.shape[1], boosting.fit_boosting(z, still, z, still, 0, lambda line: None))
    found = run_session(open_session(content.SerializeToString()), z[:3])["difference"]
    np.testing.assert_array_equal(found, still[:3])


def test_a_refit_is_as_large_as_was_best_and_knows_validation() -> None:
    boosting = pytest.importorskip("offline.training.boosting", reason="the train extra is not installed")
    (z, y), (z_validation, y_validation) = _linear(0, 300), _linear(1, 300)
    parts = (z, y, z_validation, y_validation, 0, lambda line: None)
    once, again = boosting.fit_boosting(*parts), boosting.fit_boosting(*parts, refit=True)
    for m in range(4):
        assert again[m].trees.n_iter_ == max(1, int(np.argmax(once[m].trees.validation_score_)))
        errors = [np.abs(one[m].predict(z_validation) - y_validation[:, m]).mean() for one in (once, again)]
        assert errors[1] < 0.9 * errors[0]


def test_thresholds_are_rounded_down() -> None:
    value = np.random.default_rng(0).normal(size=1000)
    single = round_down(value)
    assert single.dtype == np.float32
    assert (single <= value).all()
    assert (np.nextafter(single, np.float32(np.inf)) > value).all()


@pytest.mark.parametrize("name", ["ridge", "boosting"])
def test_a_fitted_model_is_better_than_the_bars(name: str) -> None:
    if name == "boosting":
        pytest.importorskip("sklearn", reason="the train extra is not installed")
    found = long_trace()
    training, validation, test = split_rows(found, HORIZON_MS, 1500)
    fitted = fit_model(name, found, training, validation, Course(), lambda line: None)
    forecasts = {bar: found.bar[test, k] for k, bar in enumerate(BARS)}
    forecasts[name] = forecast_rows(fitted, found, test)
    assert mean_ratio(score(forecasts, found.target[test])[name]) < 0.97


@pytest.mark.parametrize("name", ["ridge", "boosting"])
def test_a_training_repeats(name: str) -> None:
    if name == "boosting":
        pytest.importorskip("sklearn", reason="the train extra is not installed")
    found = small_trace()
    training, validation, _ = split_rows(found, HORIZON_MS, 300)
    one, two = (fit_model(name, found, training, validation, Course(seed=4), lambda line: None) for _ in range(2))
    assert one.content == two.content


def test_a_missing_library_says_what_to_install() -> None:
    assert "dwcp-streams[train]" in str(missing_extra("lstm", ImportError("No module named 'torch'")))
