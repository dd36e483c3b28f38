"""AMST parameters against the formula in Python integers, at and around every clamp."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models.bandwidth.amst import ACTIONS, REASONS, decide, transport
from schemas.network import Forecast

RATE = st.floats(0.0, 1e7)
LATENCY = st.floats(0.0, 3.6e6)
LOSS = st.floats(0.0, 1.0)


def _formula(bandwidth: float, latency: float, loss: float, jitter: float) -> tuple[int, ...]:
    factor = 0.7 if latency > 100 else 1.3 if latency < 20 else 1.0
    streams = int(int(bandwidth / 10) * factor)
    if loss > 0.02:
        streams = streams * 3 // 4
    streams = max(2, min(256, streams))
    rate = bandwidth * 1e6 / 8
    buffer = max(16384, min(1048576, int(rate * latency / 1000) + int(jitter * rate / 1000)))
    chunk = buffer // streams
    if loss > 0.02:
        chunk //= 2
    return streams, buffer, max(8192, min(131072, chunk)), int(rate * 0.95), buffer * streams


@settings(deadline=None)  # the first call compiles
@given(RATE, LATENCY, LOSS, LATENCY)
def test_parameters_follow_the_formula(bandwidth: float, latency: float, loss: float, jitter: float) -> None:
    assert transport(bandwidth, latency, loss, jitter) == _formula(bandwidth, latency, loss, jitter)


@settings(deadline=None)
@given(RATE, LATENCY, LOSS, LATENCY, st.floats(0.01, 10.0))
def test_tuned_streams_are_the_formulas_times_a_factor_within_the_same_clamps(
    bandwidth: float, latency: float, loss: float, jitter: float, tuned: float
) -> None:
    factor = 0.7 if latency > 100 else 1.3 if latency < 20 else 1.0
    plain = int(int(bandwidth / 10) * factor)
    plain = plain * 3 // 4 if loss > 0.02 else plain
    streams, buffer, chunk, pacing, window = transport(bandwidth, latency, loss, jitter, tuned)
    assert streams == max(2, min(256, plain if tuned == 1.0 else int(plain * tuned)))
    assert (buffer, pacing) == (_formula(bandwidth, latency, loss, jitter)[1], int(bandwidth * 1e6 / 8 * 0.95))
    assert chunk == max(8192, min(131072, buffer // streams // (2 if loss > 0.02 else 1)))
    assert window == buffer * streams


@pytest.mark.parametrize("bandwidth", [0.0, 9.99, 20.0, 30.0, 90.0, 1970.0, 2560.0, 2570.0, 4000.0])
@pytest.mark.parametrize("latency", [0.0, 19.999, 20.0, 100.0, 100.001])
@pytest.mark.parametrize("loss", [0.0, 0.02, 0.020001])
def test_parameters_at_the_edges(bandwidth: float, latency: float, loss: float) -> None:
    found = transport(bandwidth, latency, loss, 1.0)
    assert found == _formula(bandwidth, latency, loss, 1.0)
    assert 2 <= found[0] <= 256
    assert 16_384 <= found[1] <= 1_048_576
    assert 8_192 <= found[2] <= 131_072
    assert found[4] == found[0] * found[1]


@pytest.mark.parametrize(
    ("bandwidth", "latency", "loss", "streams"),
    [
        (1000, 50, 0, 100),
        (1000, 150, 0, 70),
        (1000, 10, 0, 130),
        (1000, 50, 0.03, 75),
        (5, 50, 0, 2),
        (1e5, 50, 0, 256),
    ],
)
def test_streams_of_worked_examples(bandwidth: float, latency: float, loss: float, streams: int) -> None:
    assert transport(float(bandwidth), float(latency), float(loss), 0.0)[0] == streams


@pytest.mark.parametrize(
    ("confidence", "streams", "bandwidth", "latency", "action"),
    [
        (0.59, 100, 1000.0, 100.0, "skip"),
        (0.60, 100, 100.0, 20.0, "hold"),
        (0.69, 100, 100.0, 20.0, "hold"),
        (0.70, 12, 100.0, 20.0, "hold"),
        (0.70, 13, 100.0, 20.0, "adjust"),
        (0.79, 7, 100.0, 20.0, "adjust"),
        (0.80, 10, 100.0, 20.0, "apply"),
        (0.85, 10, 200.0, 20.0, "apply"),
        (0.86, 100, 114.0, 20.0, "apply"),
        (0.86, 10, 116.0, 20.0, "preempt"),
        (0.86, 10, 84.0, 20.0, "preempt"),
        (0.86, 10, 100.0, 24.0, "preempt"),
    ],
)
def test_apply_rules(confidence: float, streams: int, bandwidth: float, latency: float, action: str) -> None:
    assert ACTIONS[decide(confidence, streams, 10, bandwidth, latency, 100.0, 20.0)] == action


def test_actions_are_the_contracts() -> None:
    allowed = Forecast.__annotations__["amst_action"]
    assert "AmstAction" in str(allowed)
    assert len(REASONS) == len(ACTIONS)
