"""Which sample scores a forecast: links slower and faster than one sample a minute."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.bandwidth.state import NetworkState
from schemas.network import HORIZON_MS
from schemas.topic import NETWORK_SCORE
from tests.online_models.stream import MINUTE_MS, START_MS, sample, samples_of


def scores_of(times_ms: list[int]) -> list[tuple[int, int]]:
    """When each scored forecast was made and how far its sample was from its target, in ms."""
    result = NetworkState().step(samples_of([sample(at, rate=100.0) for at in times_ms]))
    if NETWORK_SCORE not in result.outputs:
        return []
    columns = result.outputs[NETWORK_SCORE].columns
    made = columns["prediction_time"]
    return list(zip(made.tolist(), (columns["timestamp"] - made - HORIZON_MS).tolist(), strict=True))


@pytest.mark.parametrize("period_min", [2, 4, 5, 7, 10])
def test_slow_links_are_scored_up_to_half_their_period_off(period_min: int) -> None:
    times = [START_MS + k * period_min * MINUTE_MS for k in range(60)]
    scores = scores_of(times)
    assert len(scores) > 60 - HORIZON_MS // (period_min * MINUTE_MS) - 8
    assert all(abs(away) <= max(30_000, period_min * MINUTE_MS // 2) for _, away in scores)


def test_a_wandering_five_minute_link_is_scored() -> None:
    rng = np.random.default_rng(0)
    times = [START_MS + k * 5 * MINUTE_MS + int(rng.uniform(-100_000, 100_000)) for k in range(200)]
    scores = scores_of(times)
    assert len(scores) > 150
    assert max(abs(away) for _, away in scores) > 30_000


@pytest.mark.parametrize("period_ms", [5_000, 20_000, 30_000])
def test_fast_links_wait_for_the_nearest_sample(period_ms: int) -> None:
    scores = scores_of([START_MS + k * period_ms for k in range(1000)])
    assert scores
    assert {away for _, away in scores} == {0}


def test_a_forecast_whose_sample_never_comes_is_not_scored_by_a_later_one() -> None:
    before = [START_MS + k * MINUTE_MS for k in range(10)]
    after = [START_MS + (k + 120) * MINUTE_MS for k in range(30)]
    assert all(made >= after[0] for made, _ in scores_of(before + after))


@pytest.mark.parametrize("days", [20, 40, 49.71026961805556, 60])
def test_a_silence_of_weeks_scores_nothing_of_before(days: float) -> None:
    """Only the lower half of a forecast's time is kept, which comes again after 49.7 days."""
    again = START_MS + int(days * 86_400_000)
    times = [START_MS + k * MINUTE_MS for k in range(17)] + [again + k * MINUTE_MS for k in range(20)]
    state = NetworkState(idle_ms=400 * 86_400_000)
    result = state.step(samples_of([sample(at, rate=100.0) for at in times]))
    made = result.outputs[NETWORK_SCORE].columns["prediction_time"]
    assert all(at < START_MS + 2 * MINUTE_MS or at >= again for at in made.tolist())
    assert sum(at >= again for at in made.tolist()) >= 5
