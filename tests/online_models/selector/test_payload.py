"""Prototypes of payloads, and what a choice is expected to lose."""

from __future__ import annotations

import math

import numpy as np
import pytest

from online_models.selector.loss import add_normal, expected_losses
from online_models.selector.payload import FIELDS, MISSING, REACH, VALUE, WEIGHT, gather, keep, look

SIZE = 8


class Held:
    """Some prototypes, and room."""

    def __init__(self) -> None:
        self.array, self.room = np.zeros((FIELDS, SIZE), np.float32), np.zeros(SIZE, np.float32)

    def keep(self, entropy: float, value: float, repetition: float = 1.0, cap: float = 1e9) -> None:
        keep(self.array, entropy, repetition, value, 1.0, cap, self.room)

    def near(self, entropy: float, repetition: float = 1.0) -> dict[float, float]:
        value, weight = np.zeros(SIZE), np.zeros(SIZE)
        n = gather(self.array, entropy, repetition, self.room, value, weight, 0)
        return {round(float(v), 3): round(float(w), 3) for v, w in zip(value[:n], weight[:n], strict=True)}


def test_payloads_that_look_alike_and_differ_in_value_stay_apart() -> None:
    held = Held()
    for _ in range(10):
        held.keep(8.0, 1.2)
        held.keep(8.0, 4.1)
        held.keep(4.0, 1.0)
    assert held.near(8.0) == {1.2: 10.0, 4.1: 10.0}
    assert held.near(4.0) == {1.0: 10.0}
    assert held.near(6.0) == {}


def test_what_is_nearer_counts_more() -> None:
    held = Held()
    held.keep(4.0, 1.0)
    assert held.near(4.0 + REACH / 2)[1.0] == pytest.approx(0.5, abs=0.001)
    assert held.near(4.0, 1.0 + REACH / 2)[1.0] == pytest.approx(0.5, abs=0.001)


def test_a_prototype_is_the_mean_of_its_observations() -> None:
    held = Held()
    for value in (1.0, 1.2, 0.8):
        held.keep(4.0, value)
    assert held.near(4.0) == {1.0: 3.0}


def test_with_no_room_the_lightest_gives_way() -> None:
    held = Held()
    for k in range(SIZE):
        for _ in range(2 if k else 1):
            held.keep(float(k), 0.0)
    held.keep(3.0, 5.0)
    assert held.near(0.0) == {}
    assert held.near(3.0) == {0.0: 2.0, 5.0: 1.0}


def test_the_past_fades() -> None:
    held = Held()
    held.keep(1.0, 0.0)
    for _ in range(11):
        held.keep(5.0, 0.0, cap=10.0)
    assert held.array[WEIGHT].max() < 10.0
    assert held.near(1.0)[0.0] == 0.5


@pytest.mark.parametrize("value", [1e9, -1e9])
def test_values_are_bounded(value: float) -> None:
    held = Held()
    held.keep(1.0, value)
    assert abs(held.array[VALUE]).max() < 100


def test_what_was_not_estimated_is_like_what_was_not_estimated() -> None:
    assert look(math.nan, 0.0) == (MISSING, 0.0)
    held = Held()
    held.keep(*look(math.nan, 20.0)[:1], 2.0)
    assert held.near(MISSING) == {2.0: 1.0}
    assert held.near(0.0) == {}


@pytest.mark.parametrize("mean", [-1.5, 0.0, 0.4])
@pytest.mark.parametrize("deviation", [0.0, 0.3])
def test_expected_losses_are_those_of_many_draws(mean: float, deviation: float) -> None:
    rng = np.random.default_rng(0)
    value, weight, loss = rng.normal(mean, 0.8, 60), rng.uniform(0.1, 3.0, 60), np.zeros(2)
    p = expected_losses(value, weight, 60, deviation, loss)
    drawn = rng.choice(value, 200_000, p=weight / weight.sum()) + deviation * rng.standard_normal(200_000)
    lost = -np.expm1(-np.abs(drawn))
    assert loss[0] == pytest.approx(np.where(drawn < 0, lost, 0).mean(), abs=0.01)
    assert loss[1] == pytest.approx(np.where(drawn > 0, lost, 0).mean(), abs=0.01)
    assert p == pytest.approx((drawn < 0).mean(), abs=0.03)


@pytest.mark.parametrize("mean", [-1.0, 0.5])
def test_three_points_have_the_mean_and_the_deviation_of_a_normal_distribution(mean: float) -> None:
    value, weight = np.zeros(4), np.zeros(4)
    assert add_normal(mean, 0.6, 2.0, value, weight, 1) == 4
    assert weight.sum() == pytest.approx(2.0)
    assert np.average(value[1:], weights=weight[1:]) == pytest.approx(mean)
    assert np.average((value[1:] - mean) ** 2, weights=weight[1:]) == pytest.approx(0.36)


@pytest.mark.parametrize("ahead", [1e6, -1e6])
def test_losses_are_shares(ahead: float) -> None:
    loss = np.zeros(2)
    expected_losses(np.array([ahead]), np.array([0.1]), 1, 0.2, loss)
    assert sorted(loss.tolist()) == pytest.approx([0.0, 1.0])
