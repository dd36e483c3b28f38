"""What is usual at a time: by half hours of weekdays and weekends, and by ten minutes of any day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from online_models.bandwidth.climate import (
    CLIMATE,
    PROFILE_REACH,
    climate_places,
    climatology,
    learn_climate,
    learn_profile,
    profile_at,
    profile_places,
)
from online_models.slot import row_dtype

MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
MONDAY_MS = 1_704_067_200_000


def taught(value: Callable[[int], float], days: int, period_ms: int = 5 * MINUTE_MS) -> Any:
    """A link's record after days of `value(time)` in the first target."""
    link = np.zeros(1, row_dtype(*CLIMATE, ("clock", "i8")))[0]
    for at in range(MONDAY_MS, MONDAY_MS + days * DAY_MS + 1, period_ms):
        x = np.array([value(at), 0.0, 0.0, 0.0])
        learn_profile(link, at - period_ms, at, x)
        learn_climate(link, at - period_ms, at, x)
        link["clock"] = at
    return link


def usual(link: Any, at: int) -> float:
    return float(climatology(link, climate_places(link, at, int(link["clock"])), 0))


def unusual(link: Any, at: int) -> float:
    return float(profile_at(link, profile_places(link, at, int(link["clock"])), 0))


def test_nothing_lived_through_is_nothing_known() -> None:
    link = taught(lambda at: 1.0, 0)
    assert np.isnan(usual(link, MONDAY_MS + DAY_MS // 2))
    assert np.isnan(unusual(link, MONDAY_MS + DAY_MS // 2))


def test_the_visit_under_way_counts() -> None:
    link = taught(lambda at: 3.0, 0)
    assert usual(link, MONDAY_MS) == 3.0
    assert unusual(link, MONDAY_MS) == 3.0


def test_weekends_have_means_of_their_own() -> None:
    link = taught(lambda at: 1.0 if (at - MONDAY_MS) // DAY_MS % 7 < 5 else 5.0, 14)
    noon = MONDAY_MS + 14 * DAY_MS + DAY_MS // 2
    assert usual(link, noon) == pytest.approx(1.0, abs=0.04)
    assert usual(link, noon + 5 * DAY_MS) == pytest.approx(5.0, abs=0.04)


@pytest.mark.parametrize("value", [7.0, -1e-6, 0.0, 1e9])
def test_a_constant_is_known(value: float) -> None:
    assert usual(taught(lambda at: value, 2), MONDAY_MS + DAY_MS // 2) == pytest.approx(value, rel=1e-7)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e9])
def test_a_daily_cycle_is_known_in_any_unit(scale: float) -> None:
    link = taught(lambda at: scale * np.sin(2 * np.pi * at / DAY_MS), 5, 30 * MINUTE_MS)
    at = MONDAY_MS + np.arange(0, DAY_MS, 30 * MINUTE_MS) + 15 * MINUTE_MS
    found = np.array([usual(link, int(k)) for k in at])
    expected = scale * np.sin(2 * np.pi * (at - 15 * MINUTE_MS) / DAY_MS)
    assert np.abs(found - expected).max() < 0.02 * scale  # a step is .8 % of the largest difference


def test_after_a_wild_value_small_differences_are_known_again() -> None:
    wild = MONDAY_MS + 3 * DAY_MS

    def value(at: int) -> float:
        return 1e6 if at == wild else 100.0 + np.sin(2 * np.pi * at / DAY_MS)

    link = taught(value, 90, 30 * MINUTE_MS)
    morning = MONDAY_MS + 91 * DAY_MS + DAY_MS // 4 + 15 * MINUTE_MS
    assert usual(link, morning) == pytest.approx(101.0, abs=0.2)


@pytest.mark.parametrize("minute", [0, 20, 40])
def test_the_profile_knows_what_happens_each_hour(minute: int) -> None:
    link = taught(lambda at: 8.0 if at // MINUTE_MS % 60 in (minute, minute + 5) else 0.0, 4)
    at = MONDAY_MS + 4 * DAY_MS - DAY_MS // 2 + minute * MINUTE_MS + 5 * MINUTE_MS
    assert unusual(link, at) == pytest.approx(8.0, abs=0.5)
    assert unusual(link, at + 20 * MINUTE_MS) == pytest.approx(0.0, abs=0.02)


@pytest.mark.parametrize("small", [0.02, 0.3])
def test_differences_below_a_step_of_the_profile_are_learnt_on_average(small: float) -> None:
    link = taught(lambda at: small, 60, 10 * MINUTE_MS)
    found = [unusual(link, MONDAY_MS + k * 10 * MINUTE_MS + 5 * MINUTE_MS) for k in range(144)]
    assert np.mean(found) == pytest.approx(small, rel=0.2)


def test_old_days_are_forgotten() -> None:
    link = taught(lambda at: 1.0 if at < MONDAY_MS + 20 * DAY_MS else 3.0, 60)
    noon = MONDAY_MS + 60 * DAY_MS + DAY_MS // 2
    assert usual(link, noon) == pytest.approx(3.0, abs=0.1)
    assert unusual(link, noon) == pytest.approx(3.0, abs=0.3)


@pytest.mark.parametrize("value", [-1e9, -63.0, 63.0, 1e9])
def test_the_profile_stops_at_its_range(value: float) -> None:
    found = unusual(taught(lambda at: value, 1), MONDAY_MS + DAY_MS // 2 + 25 * MINUTE_MS)
    assert found == pytest.approx(np.clip(value, -PROFILE_REACH, PROFILE_REACH), abs=1.0)
