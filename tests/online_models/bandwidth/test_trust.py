"""Drift of forecasts' errors lowers the confidence of the links of that type, and of no other."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.bandwidth.state import TRUST_TURN_MS, NetworkState
from schemas.topic import DRIFT_ALERT, NETWORK_FORECAST
from tests.online_models.stream import MINUTE_MS, START_MS, encoded, run_cut, sample, samples_of

MINUTES = 420
CALM = 300
LINKS = 12


def _records() -> list:
    """Half of the links are WAN, whose throughput can no more be foretold after five hours."""
    rng = np.random.default_rng(2)
    rate = rng.normal(500.0, 10.0, (MINUTES, LINKS))
    rate[CALM:, ::2] = rng.choice([100.0, 900.0], (MINUTES - CALM, LINKS // 2))
    return [
        sample(START_MS + k * MINUTE_MS + j, rate=float(rate[k, j]), node_id=f"n{j}", link_type=("wan", "dc")[j % 2])
        for k in range(MINUTES)
        for j in range(LINKS)
    ]


@pytest.fixture(scope="module")
def batch():
    return samples_of(_records())


def test_links_of_the_type_are_less_sure_from_the_next_turn_on(batch) -> None:
    state = NetworkState()
    trust = {}
    alerts: list[int] = []
    for first in range(0, len(batch), LINKS):
        result = state.step(batch.take(first, first + LINKS))
        if DRIFT_ALERT in result.outputs:
            columns = result.outputs[DRIFT_ALERT].columns
            assert set(columns["feature"]) == {"relative_error.wan"}
            alerts += np.asarray(columns["timestamp"]).tolist()
        gauges = state.gauges()
        trust[START_MS + first // LINKS * MINUTE_MS] = [gauges[f"forecast_trust_{name}"][0] for name in ("wan", "dc")]
    assert CALM * MINUTE_MS < alerts[0] - START_MS < (CALM + 60) * MINUTE_MS
    turn = (alerts[0] // TRUST_TURN_MS + 1) * TRUST_TURN_MS
    assert {wan for at, (wan, _) in trust.items() if at <= alerts[0]} == {1.0}
    assert max(wan for at, (wan, _) in trust.items() if turn <= at < turn + TRUST_TURN_MS) < 0.8
    assert {dc for _, dc in trust.values()} == {1.0}


def test_what_is_published_is_lowered_and_does_not_depend_on_the_cut(batch) -> None:
    result = NetworkState().step(batch)
    columns = result.outputs[NETWORK_FORECAST].columns
    time_ms, wan = np.asarray(columns["timestamp"]), np.asarray(columns["link_type"]) == "wan"
    late = time_ms > START_MS + (MINUTES - 30) * MINUTE_MS
    sure = np.asarray(columns["confidence"])
    assert sure[late & wan].max() < 0.5 < sure[late & ~wan].min()
    assert run_cut(NetworkState(), batch, 7) == encoded([(0, result)])
