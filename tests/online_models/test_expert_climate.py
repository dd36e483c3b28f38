"""What is usual at a time: by half hours of weekdays and weekends, and by five minutes of any day."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from online_models.climate import CLIMATE, climatology, count_bins, learn_climate, learn_profile, profile_at
from online_models.slot import row_dtype

MINUTE_MS = 60_000
DAY_MS = 1440 * MINUTE_MS
MONDAY_MS = 1_704_067_200_000


def taught(value: Callable[[int], float], days: int, period_ms: int = 5 * MINUTE_MS) -> Any:
    """A link's record after days of `value(time)` in the first target."""
    link = np.zeros(1, row_dtype(*CLIMATE))[0]
    for at in range(MONDAY_MS, MONDAY_MS + days * DAY_MS, period_ms):
        rate, profile_rate = count_bins(link, period_ms, at)
        learn_climate(link, at, 0, value(at), rate)
        learn_profile(link, at, 0, value(at), profile_rate)
    return link


def test_nothing_lived_through_is_nothing_known() -> None:
    link = taught(lambda at: 1.0, 0)
    assert climatology(link, MONDAY_MS, 0, -7.0) == -7.0
    assert np.isnan(profile_at(link, MONDAY_MS, 0))


def test_weekends_have_means_of_their_own() -> None:
    link = taught(lambda at: 1.0 if (at - MONDAY_MS) // DAY_MS % 7 < 5 else 5.0, 14)
    noon = MONDAY_MS + 14 * DAY_MS + DAY_MS // 2
    assert climatology(link, noon, 0, 0.0) == pytest.approx(1.0)
    assert climatology(link, noon + 5 * DAY_MS, 0, 0.0) == pytest.approx(5.0)


@pytest.mark.parametrize("minute", [0, 15, 30, 45])
def test_the_profile_knows_what_happens_each_quarter(minute: int) -> None:
    link = taught(lambda at: 8.0 if at // MINUTE_MS % 60 == minute else 0.0, 4)
    at = MONDAY_MS + 4 * DAY_MS + minute * MINUTE_MS + 150_000
    assert profile_at(link, at, 0) == pytest.approx(8.0, abs=0.02)
    assert profile_at(link, at + 8 * MINUTE_MS, 0) == pytest.approx(0.0, abs=0.02)


def test_old_days_are_forgotten() -> None:
    link = taught(lambda at: 1.0 if at < MONDAY_MS + 20 * DAY_MS else 3.0, 60)
    assert climatology(link, MONDAY_MS + 60 * DAY_MS, 0, 0.0) == pytest.approx(3.0, abs=0.1)
    assert profile_at(link, MONDAY_MS + 60 * DAY_MS, 0) == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("value", [-1e9, -128.0, 127.0, 1e9])
def test_the_profile_stops_at_its_range(value: float) -> None:
    found = profile_at(taught(lambda at: value, 1), MONDAY_MS, 0)
    assert found == pytest.approx(np.clip(value, -32_767 / 256, 32_767 / 256))
