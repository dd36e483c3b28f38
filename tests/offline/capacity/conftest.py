"""Seeded loads."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from offline.capacity.history import HOUR_MS, History

START_MS = 1_704_067_200_000
"""A Monday, 2024-01-01."""

Load = Callable[..., NDArray[np.float64]]


@pytest.fixture
def load() -> Load:
    """Hourly percentages with a day, a week, noise and growth per day."""

    def make(
        days: int, growth: float = 0.0, level: float = 40.0, seed: int = 0, noise: float = 1.0
    ) -> NDArray[np.float64]:
        t = np.arange(24 * days) / 24.0
        daily = 8 * np.sin(2 * np.pi * t) - 4 * (t.astype(int) % 7 >= 5)
        return level + growth * t + daily + np.random.default_rng(seed).normal(0, noise, len(t))

    return make


@pytest.fixture
def hourly(load: Load) -> Callable[..., History]:
    """A history of such a load."""

    def make(days: int, **how: float) -> History:
        return History(START_MS, HOUR_MS, load(days, **how))

    return make
