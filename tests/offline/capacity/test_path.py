"""Probabilities by date."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from offline.capacity.blend import look_ahead
from offline.capacity.history import History
from offline.capacity.path import PATHS, first_reached, reached_by, simulate
from tests.bench.capacity import make_load, watch

Make = Callable[..., History]


def test_paths_lie_around_the_forecast(hourly: Make) -> None:
    outlook = look_ahead(hourly(90), 30)
    paths = simulate(outlook)
    assert paths.shape == (PATHS, 30 * 24)
    assert np.abs(np.median(paths, axis=0) - outlook.predicted.ravel()).max() < 2.0
    inside = (paths >= outlook.lower.ravel()) & (paths <= outlook.upper.ravel())
    assert inside.mean() > 0.9


def test_paths_spread_as_methods_differ(hourly: Make) -> None:
    outlook = look_ahead(hourly(60), 10)
    apart = np.zeros_like(outlook.apart)
    apart[0] = 50.0
    weights = dict.fromkeys(outlook.weights, 0.0) | {"seasonal_naive": 0.25, "ets": 0.75}
    last = simulate(replace(outlook, apart=apart, weights=weights))[:, -24:].mean(axis=1)
    moved = last > outlook.predicted[-1].mean() + 50.0
    assert moved.mean() == pytest.approx(0.25, abs=0.06)


@pytest.fixture
def bursty(hourly: Make) -> History:
    """About 40 but for an hour in a hundred, which is at 90 or so."""
    calm = hourly(60)
    burst = np.where(np.random.default_rng(4).random(len(calm)) < 0.01, 50.0, 0.0)
    return replace(calm, value=calm.value + burst)


def test_bursts_come_again_but_do_not_last(bursty: History) -> None:
    outlook = look_ahead(bursty, 10)
    hours, lasting = (reached_by(simulate(outlook, bursts=which), 75.0)[-1] for which in (True, False))
    assert hours > 0.6
    assert lasting < 0.05


def test_the_highest_hour_to_come_may_be_higher_than_any_was(hourly: Make) -> None:
    """A month's highest is above the three before with one in four, were all alike; futures differ more than that."""
    beyond = []
    for seed in range(8):
        history = hourly(90, seed=seed, noise=3.0)
        paths = simulate(look_ahead(history, 30), bursts=True)
        beyond.append(reached_by(paths, float(history.value.max()))[-1])
    assert 0.25 < np.mean(beyond) < 0.65


def test_the_same_seed_gives_the_same_paths(hourly: Make) -> None:
    outlook = look_ahead(hourly(40), 10)
    assert np.array_equal(simulate(outlook, 3), simulate(outlook, 3))
    assert not np.array_equal(simulate(outlook, 3), simulate(outlook, 4))


def test_probabilities_never_fall_and_end_where_they_must(hourly: Make) -> None:
    outlook = look_ahead(hourly(90, growth=0.4), 30)
    paths = simulate(outlook)
    chance = reached_by(paths, 95.0)
    assert (np.diff(chance) >= 0).all()
    assert (reached_by(paths, -1.0) == 1.0).all()
    assert (reached_by(paths, 1e9) == 0.0).all()
    assert 0.0 < chance[-1] < 1.0 or chance[0] < chance[-1]


@pytest.mark.parametrize(
    ("predicted", "chance", "step"),
    [
        ([1, 2, 3], [0, 0, 0], 2),
        ([1, 1, 1], [0, 0.5, 0.9], 1),
        ([1, 1, 1], [0, 0.1, 0.2], None),
        ([9, 1, 1], [0, 0, 1], 0),
    ],
)
def test_the_earlier_of_mean_and_one_in_four(predicted: list[float], chance: list[float], step: int | None) -> None:
    assert first_reached(np.array(predicted), np.array(chance), 3.0) == step


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_steady_growth_is_urgent_two_weeks_before_exhaustion(seed: int) -> None:
    found = watch("grows", seed, every=3)
    assert found.exhausted_day is not None
    first = next(day for day, urgent in zip(found.days, found.urgent, strict=True) if urgent)
    assert found.exhausted_day - first >= 14


@pytest.mark.parametrize("kind", ["steady", "levels off", "bursty"])
def test_what_stays_below_is_never_urgent(kind: str) -> None:
    assert not any(watch(kind, 5, every=15).urgent)


def test_loads_are_seeded() -> None:
    one, two = (make_load("wanders", np.random.default_rng(4))[1] for _ in range(2))
    np.testing.assert_array_equal(one, two)
