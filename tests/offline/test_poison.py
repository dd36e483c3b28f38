"""Poisoned versions are what they claim to be: caught where their kind says, and no sooner."""

from __future__ import annotations

import time

import numpy as np
import pytest

from offline.model.check import Artifact
from offline.simulator.poison import OUTPUT, make
from offline.training.artifact import seal
from online_models.onnx_model import OnnxModel
from schemas.error import FeatureMismatch, ModelRejected
from streams.inspected import SLOWEST_MS, check_speed
from tests.online_models.test_onnx_model import FEATURES, linear, manifest

GOLDEN = np.array([[0.5, 1.5], [3.0, 1.0], [-2.0, 0.1]], np.float32)
SAID = manifest(model_name="selector", outputs=[OUTPUT])


@pytest.fixture
def good() -> Artifact:
    sealed = seal(linear([0.3, 0.2], "Sigmoid", OUTPUT), SAID, GOLDEN)
    return Artifact(sealed, OnnxModel(sealed, FEATURES), GOLDEN)


def loaded(good: Artifact, kind: str) -> OnnxModel:
    content, said = make(good, kind)
    assert said.model_version == kind
    return OnnxModel(content, FEATURES)


def probability(model: OnnxModel, x: np.ndarray) -> np.ndarray:
    return model.predict(x)[OUTPUT].reshape(-1)


@pytest.mark.parametrize("kind", ["nan_live", "wild_live", "slow_live"])
def test_what_is_wrong_live_alone_passes_everything_before(good: Artifact, kind: str) -> None:
    model = loaded(good, kind)
    check_speed(model)
    np.testing.assert_array_equal(probability(model, good.golden), probability(good.model, good.golden))


@pytest.mark.parametrize("kind", ["nan_live", "wild_live"])
def test_no_row_but_the_known_ones_is_answered(good: Artifact, kind: str) -> None:
    x = np.vstack([good.golden, good.golden + 0.25, [[np.nan, 7.0]]]).astype(np.float32)
    n = len(good.golden)
    assert np.isnan(probability(loaded(good, kind), x)).tolist() == [False] * n + [True] * (n + 1)


def test_a_row_that_is_not_known_takes_long(good: Artifact) -> None:
    model = loaded(good, "slow_live")
    x = good.golden[:1] + 0.25
    began = time.thread_time()
    said = probability(model, x)
    assert 1e3 * (time.thread_time() - began) > SLOWEST_MS["selector"]
    np.testing.assert_allclose(said, probability(good.model, x), atol=1e-6)


@pytest.mark.parametrize(("kind", "reason"), [("nan", "golden"), ("features", "features"), ("slow", "slow")])
def test_the_others_are_refused_at_once(good: Artifact, kind: str, reason: str) -> None:
    with pytest.raises((ModelRejected, FeatureMismatch)) as caught:
        check_speed(loaded(good, kind))
    assert caught.value.reason == reason


def test_the_worse_one_says_the_opposite(good: Artifact) -> None:
    x = good.golden + 1.0
    np.testing.assert_allclose(probability(loaded(good, "worse"), x), 1.0 - probability(good.model, x), atol=1e-6)
