"""The experts' running levels: slow to believe a spike, quick to believe a jump."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.bandwidth.expert import TRACK, observe
from online_models.slot import row_dtype
from schemas.network import HORIZON_MS

MINUTE_MS = 60_000


def level_after(values: list[float]) -> tuple[float, float]:
    """Level and slow level of a link's throughput after one sample a minute."""
    links = np.zeros(1, row_dtype(*TRACK))
    for k, value in enumerate(values):
        observe(links[0], k, MINUTE_MS if k else 0, np.array([value, 10.0, 0.0, 1.0]), k * MINUTE_MS, HORIZON_MS)
    level = float(links[0]["level"][0])
    return level, level + float(links[0]["apart"][2, 0])


def steady(n: int) -> list[float]:
    return [1000.0 + 20.0 * (-1) ** k for k in range(n)]


@pytest.mark.parametrize("spike", [1, 2])
def test_a_spike_hardly_moves_the_slow_level(spike: int) -> None:
    _, slow = level_after(steady(240) + [300.0] * spike)
    assert slow > 980.0


@pytest.mark.parametrize("to", [300.0, 2500.0])
def test_the_third_sample_after_a_jump_restarts_all_levels(to: float) -> None:
    after = [to, 1.02 * to, 0.98 * to]
    level, slow = level_after(steady(60) + after)
    assert level == pytest.approx(to, rel=0.01)
    assert slow == pytest.approx(to, rel=0.01)


def test_samples_far_off_on_alternating_sides_are_noise() -> None:
    _, slow = level_after(steady(60) + [300.0, 1700.0] * 3)
    assert slow == pytest.approx(1000.0, abs=60.0)
