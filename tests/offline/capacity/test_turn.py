"""The last line of a series: constants, lines, steps and bends are told apart, in noise too."""

from __future__ import annotations

import numpy as np
import pytest

from offline.capacity.turn import last_line

T = np.arange(56.0)
SHAPES = {
    "constant": (np.full(56, 5.0), 5.0, 0.0),
    "line": (0.5 * T, 27.5, 0.5),
    "step": (10.0 * (T >= 40), 10.0, 0.0),
    "bend": (np.maximum(T - 40, 0.0), 15.0, 1.0),
    "bend back": (np.minimum(T, 40.0), 40.0, 0.0),
}


@pytest.mark.parametrize("name", SHAPES)
@pytest.mark.parametrize("seed", [0, 1])
def test_it_goes_on_as_the_series_does(name: str, seed: int) -> None:
    value, level, slope = SHAPES[name]
    found = last_line(value + np.random.default_rng(seed).normal(0.0, 0.2, len(value)))
    assert found == (pytest.approx(level, abs=0.4), pytest.approx(slope, abs=0.08))


@pytest.mark.parametrize("seed", range(4))
def test_noise_has_no_turn(seed: int) -> None:
    _, slope = last_line(np.random.default_rng(seed).normal(50.0, 3.0, 56))
    assert slope == 0.0


@pytest.mark.parametrize("n", [1, 2, 7, 8, 12])
def test_few_blocks_are_enough_for_a_constant(n: int) -> None:
    assert last_line(np.full(n, 3.0)) == (pytest.approx(3.0), pytest.approx(0.0))
