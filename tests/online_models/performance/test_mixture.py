"""The published probability: no worse than the best of its voices by more than the price of not knowing which."""

from __future__ import annotations

import math

import numpy as np
import pytest

from online_models.performance.input import INPUT_NAMES, RATIO
from online_models.performance.mixture import N_OPINIONS, OPINIONS, learn_mix, new_mix, write_opinions


def _losses(knows: str, seed: int, many: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Log losses `[label, opinion]` and what was said, where the ratio or the regression knows the truth."""
    rng = np.random.default_rng(seed)
    mix, x = new_mix(), np.zeros(len(INPUT_NAMES))
    loss, said = np.zeros((many, N_OPINIONS)), np.zeros((many, N_OPINIONS))
    for k in range(many):
        truth = rng.random() < 0.5
        chance = 0.9 if truth else 0.1
        x[RATIO] = rng.normal(0.0, 0.1) + (0.3 * (1 if truth else -1) if knows == "persistence" else 0.0)
        write_opinions(mix[0], x, chance if knows == "regression" else rng.uniform(0.2, 0.8), said[k])
        loss[k] = -np.log(np.clip(said[k] if truth else 1.0 - said[k], 1e-3, 1.0))
        learn_mix(mix[0], x, said[k], int(truth))
    return loss, said


@pytest.mark.parametrize("knows", ["persistence", "regression"])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_loses_little_more_than_the_best_of_its_voices(knows: str, seed: int) -> None:
    loss, _ = _losses(knows, seed)
    total = loss.sum(axis=0)
    best = total[OPINIONS.index(knows)]
    assert best == total[1:].min()
    assert total[0] <= best + math.log(3.0) + 3.0


def test_it_begins_as_persistence() -> None:
    _, said = _losses("persistence", 0, many=1)
    assert said[0, 0] == pytest.approx(said[0, 1], abs=0.06)


def test_it_leaves_what_has_become_worse() -> None:
    _, said = _losses("regression", 3)
    np.testing.assert_allclose(said[-100:, 0], said[-100:, 3], atol=0.01)


def test_lines_are_calibrated() -> None:
    rng = np.random.default_rng(5)
    mix, x, said = new_mix(), np.zeros(len(INPUT_NAMES)), np.zeros(N_OPINIONS)
    for _ in range(3000):
        x[RATIO] = rng.normal(0.0, 0.5)
        write_opinions(mix[0], x, 0.5, said)
        learn_mix(mix[0], x, said, int(rng.random() < 1.0 / (1.0 + math.exp(-(4.0 * x[RATIO] - 1.0)))))
    assert mix["line"][0, 0] == pytest.approx([4.0, -1.0], abs=0.5)
