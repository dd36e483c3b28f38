"""Weights from regrets: who was steadily better leads, whatever the unit."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.bandwidth.aggregation import learn_regrets, learn_short, weigh, weigh_short


def weights_after(gains: np.ndarray, discount: float = 1.0 - 1.0 / 400.0) -> tuple[np.ndarray, float]:
    """Weights of `[experts]` after `gains` `[steps, experts]`, and whether there are any."""
    experts = gains.shape[1]
    regret, square, out = np.zeros(experts), np.zeros(experts), np.zeros(experts)
    for step in gains:
        learn_regrets(regret, square, step, discount)
    return out, weigh(regret, square, out)


def short_weights_after(gains: np.ndarray, discount: float = 1.0 - 1.0 / 400.0) -> tuple[np.ndarray, float]:
    """The same of sums in 16 bits."""
    experts = gains.shape[1]
    regret, square, out = np.zeros(experts, np.uint16), np.zeros(experts, np.uint16), np.zeros(experts)
    for turn, step in enumerate(gains):
        learn_short(regret, square, step, discount, turn)
    return out, weigh_short(regret, square, out)


def test_without_regret_there_are_no_weights() -> None:
    assert weights_after(np.zeros((5, 3)))[1] == 0.0
    assert weights_after(-np.ones((5, 3)))[1] == 0.0


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e9])
def test_weights_sum_to_one_and_do_not_depend_on_the_unit(unit: float) -> None:
    gains = np.random.default_rng(0).normal(0.1, 1.0, (300, 4))
    found, some = weights_after(gains)
    assert some == 1.0
    assert found.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(weights_after(unit * gains)[0], found, rtol=1e-9)


def test_a_steady_gain_outweighs_an_equal_one_that_varies() -> None:
    steady = np.full(400, 0.1)
    varying = 0.1 + np.where(np.arange(400) % 2, 1.0, -1.0)
    found, _ = weights_after(np.column_stack([steady, varying]))
    assert found[0] > 0.9


def test_an_expert_worse_than_the_mixture_has_no_say() -> None:
    found, _ = weights_after(np.column_stack([np.full(50, 0.1), np.full(50, -0.1)]))
    assert found.tolist() == [1.0, 0.0]


def test_old_regrets_are_forgotten() -> None:
    turned = np.concatenate([np.tile([1.0, -1.0], (400, 1)), np.tile([-1.0, 1.0], (900, 1))])
    found, _ = weights_after(turned, 1.0 - 1.0 / 200.0)
    assert found.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("seed", range(3))
def test_sums_in_sixteen_bits_weigh_nearly_the_same(seed: int, unit: float) -> None:
    rng = np.random.default_rng(seed)
    gains = unit * rng.normal(rng.uniform(-0.2, 0.3, 16), 1.0, (2000, 16))
    short, some = short_weights_after(gains)
    assert some == 1.0
    np.testing.assert_allclose(short, weights_after(gains)[0], atol=0.02)


def test_sums_in_sixteen_bits_follow_steps_below_their_last_digit() -> None:
    gains = np.column_stack([np.full(4000, 0.1), np.full(4000, 0.2)])
    regret, square = np.zeros(2, np.uint16), np.zeros(2, np.uint16)
    for turn, step in enumerate(gains):
        learn_short(regret, square, step, 1.0 - 1.0 / 400.0, turn)
    expected = 400.0 * (1.0 - (1.0 - 1.0 / 400.0) ** 4000) * gains[0]
    np.testing.assert_allclose((regret.astype(np.uint32) << 16).view(np.float32), expected, rtol=0.03)
