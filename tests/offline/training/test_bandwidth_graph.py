"""The graph's inputs against a slow reference; a scaler that knows training only; outputs in units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from offline.training.bandwidth_graph import Scaler, expert_graph, input_graph, linear_body, whole_graph
from offline.training.bandwidth_input import make_input, split_rows
from offline.training.bandwidth_model import fit_scaler
from offline.training.bandwidth_trace import BARS
from online_models.bandwidth.climate import PROFILED
from online_models.bandwidth.trained_input import COMPACT, ENHANCED, LEVEL_AT, NEWEST, SCALE_AT, Window
from online_models.bandwidth.vote import BOUNDS
from online_models.onnx_model import open_session, run_session
from schemas.network import HORIZON_MS, TARGETS
from tests.offline.training.link_samples import long_trace, small_trace

WINDOWS = pytest.mark.parametrize("window", [NEWEST, COMPACT, ENHANCED], ids=["newest", "compact", "enhanced"])
ALIASES = {
    "throughput": 0, "bandwidth": 0, "rtt": 1, "latency": 1, "loss": 2, "packet": 2, "jitter": 3,
}  # fmt: skip
HEAVY = {"retransmits", "congestion_window", "queue_depth", "bytes_total", "bytes_ratio", "network_load"}
UNITS = {"bandwidth": 1000.0, "latency": 100.0, "jitter": 50.0, "hour": 24.0, "day": 7.0}
PLAIN = {"time_of_day", "day_of_week", "congestion_score", "hour", "day"}


def _unscaled(width: int) -> Scaler:
    return Scaler(np.zeros(width, np.float32), np.ones(width, np.float32))


def _rows() -> np.ndarray:
    found = small_trace()
    return np.flatnonzero(np.isfinite(found.target[:, 0]) & (found.age >= 29))[::97]


def _slow_relative(window: Window, x: np.ndarray) -> np.ndarray:
    """One row, column by column, in double precision."""
    x = x.astype(np.float64)
    level, scale = x[LEVEL_AT : LEVEL_AT + 4], x[SCALE_AT : SCALE_AT + 4]
    out = np.empty(len(x))
    for k, name in enumerate(window.input_names):
        base, _, age = name.partition("@")
        value = x[k] * (UNITS.get(base, 1.0) if age and window is COMPACT else 1.0)
        m = next((TARGETS.index(t) for t in TARGETS if base.endswith(t)), ALIASES.get(base.split("_")[0]))
        if base in HEAVY:
            out[k] = np.log1p(value)
        elif base in PLAIN or base.startswith("target_") or base.endswith("_code"):
            out[k] = value
        elif base.startswith("scale_"):
            out[k] = np.clip(value / level[m], -10, 10)
        elif base.endswith("_change"):
            out[k] = np.clip(value / scale[m], -10, 10)
        else:
            out[k] = np.clip((value - level[m]) / scale[m], -10, 10)
    if window is NEWEST:
        minute = x[window.input_names.index("target_minute_of_day")]
        return np.append(out, minute % 60)
    return out


def _relative(window: Window, x: np.ndarray) -> np.ndarray:
    return run_session(open_session(input_graph(window, None).SerializeToString()), x)["z"]


@WINDOWS
def test_inputs_are_relative_to_the_level_in_scales(window: Window) -> None:
    x = make_input(small_trace(), window, _rows())
    expected = np.array([_slow_relative(window, row) for row in x])
    np.testing.assert_allclose(_relative(window, x), expected, rtol=2e-4, atol=2e-4)


@WINDOWS
def test_a_scaled_link_looks_the_same(window: Window) -> None:
    found, row = small_trace(), _rows()
    tenfold = np.zeros(34, bool)
    tenfold[[*range(4), *range(13, 28)]] = True
    context = found.context.copy()
    context[:, : SCALE_AT + 4] *= 8
    other = replace(found, feature=np.where(tenfold, found.feature * 8, found.feature), context=context)
    one, two = (_relative(window, make_input(t, window, row)) for t in (found, other))
    np.testing.assert_allclose(one, two, rtol=1e-3, atol=1e-3)


def test_the_scaler_knows_the_training_part_only() -> None:
    found = small_trace()
    training, validation, test = split_rows(found, HORIZON_MS, 500)
    moved = found.context.copy()
    later = found.time_ms >= found.time_ms[validation].min()
    moved[later] *= 1.7
    feature = np.where(later[:, None], found.feature * 3 + 1, found.feature)
    other = replace(found, context=moved, feature=feature)
    one, two = (fit_scaler(t, NEWEST, training) for t in (found, other))
    np.testing.assert_array_equal(one.mean, two.mean)
    np.testing.assert_array_equal(one.std, two.std)
    seen = fit_scaler(other, NEWEST, np.concatenate([training, test]))
    assert not np.array_equal(one.mean, seen.mean)


def test_scaled_inputs_have_mean_0_and_spread_1_in_training() -> None:
    found = long_trace()
    training, _, _ = split_rows(found, HORIZON_MS, 500)
    scaler = fit_scaler(found, COMPACT, training)
    graph = input_graph(COMPACT, scaler).SerializeToString()
    z = run_session(open_session(graph), make_input(found, COMPACT, training))["z"]
    np.testing.assert_allclose(z.mean(axis=0), 0.0, atol=0.05)
    still = z.std(axis=0) < 1e-3
    np.testing.assert_allclose(z.std(axis=0)[~still], 1.0, atol=0.1)
    names = np.array(COMPACT.input_names)[still].tolist()
    # The level less itself, also where a target has no profile, and weekends of a week's beginning never move.
    expected = {*(f"level_{t}" for t in TARGETS), *(f"profile_{t}" for t in TARGETS[PROFILED:]), "target_weekend"}
    assert {name.partition("@")[0] for name in names} <= expected


@WINDOWS
def test_outputs_are_level_and_scaled_difference_within_bounds(window: Window) -> None:
    found, row = small_trace(), _rows()
    x = make_input(found, window, row)
    width = _relative(window, x).shape[1]
    bias = np.array([1.5, -2.0, 1e9, -1e9], np.float32)
    body = linear_body(np.zeros((width, 4), np.float32), bias)
    content = whole_graph(window, _unscaled(width), body, BOUNDS)
    forecast = run_session(open_session(content), x)["forecast"]
    context = found.context[row]
    expected = context[:, LEVEL_AT : LEVEL_AT + 4] + context[:, SCALE_AT : SCALE_AT + 4] * bias
    np.testing.assert_allclose(forecast[:, :2], np.maximum(expected[:, :2], 0.0), rtol=1e-5)
    assert (forecast[:, 2] == 1.0).all()  # loss is a ratio
    assert (forecast[:, 3] == 0.0).all()


@pytest.mark.parametrize("bar", BARS)
def test_bars_are_models_too(bar: str) -> None:
    found, row = small_trace(), _rows()
    content = expert_graph(NEWEST, bar.replace("-", "_"), BOUNDS)
    forecast = run_session(open_session(content), make_input(found, NEWEST, row))["forecast"]
    np.testing.assert_allclose(forecast, found.bar[row, list(BARS).index(bar)], rtol=1e-6)


def test_a_row_says_nothing_of_other_rows() -> None:
    x = make_input(small_trace(), ENHANCED, _rows())
    whole = _relative(ENHANCED, x)
    np.testing.assert_array_equal(whole, np.concatenate([_relative(ENHANCED, row[None]) for row in x]))
