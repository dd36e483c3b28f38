"""Forecasts, scores and transport parameters of whole links."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from online_models.bandwidth import state as module
from online_models.bandwidth.state import NetworkState
from online_models.bandwidth.waiting import SPACING_MS
from schemas.batch import Result
from schemas.codec import codec_of
from schemas.network import HORIZON_MS, TARGETS, Forecast, NetworkSample
from schemas.topic import NETWORK_FORECAST, NETWORK_SCORE
from tests.online_models.stream import MINUTE_MS, START_MS, lines, network_stream, sample, samples_of


def _run(records: list[NetworkSample]) -> Result:
    return NetworkState().step(samples_of(records))


def _series(values: np.ndarray, period_ms: int = MINUTE_MS, **fields: Any) -> list[NetworkSample]:
    return [sample(START_MS + k * period_ms, rate=float(v), **fields) for k, v in enumerate(values)]


def _score(result: Result, name: str, target: int = 0) -> np.ndarray:
    return np.asarray(result.outputs[NETWORK_SCORE].columns[name])[:, target]


def test_before_any_score_a_forecast_lies_between_sample_and_average_in_a_wide_interval() -> None:
    forecast = _run(_series(np.array([400.0, 420.0, 380.0]), packet_loss=0.01)).outputs[NETWORK_FORECAST].columns
    assert list(forecast["predicted_bandwidth_mbps"]) == [400.0, 415.0, 390.0]
    assert list(forecast["predicted_packet_loss"]) == [float(np.float32(0.01))] * 3
    width = np.asarray(forecast["upper"])[:, 0] - np.asarray(forecast["lower"])[:, 0]
    assert (width > 300.0).all()
    assert list(forecast["confidence"]) == [0.5] * 3
    assert list(forecast["amst_action"]) == ["skip"] * 3


def test_a_forecast_from_the_last_time_allowed_is_valid() -> None:
    forecast = _run([sample(4_102_444_800_000)]).outputs[NETWORK_FORECAST]
    records, rejected = codec_of(Forecast).decode(lines(NETWORK_FORECAST, forecast))
    assert not rejected
    assert records[0].target_time == 4_102_444_800_000 + HORIZON_MS


@pytest.mark.parametrize(("period_ms", "offset_ms"), [(60_000, 0), (60_000, 29_000), (5_000, 0), (300_000, -30_000)])
def test_a_forecast_is_scored_by_the_sample_at_its_target_time(period_ms: int, offset_ms: int) -> None:
    first = START_MS
    steps = HORIZON_MS // period_ms
    records = [sample(first, rate=100.0)]
    records += [sample(first + k * period_ms, rate=100.0) for k in range(1, steps - 6 * (period_ms == 5_000))]
    records.append(sample(first + HORIZON_MS + offset_ms, rate=150.0))
    scores = _run(records).outputs[NETWORK_SCORE].columns
    assert scores["prediction_time"][0] == first
    assert scores["actual"][0][0] == 150.0
    assert scores["error"][0][0] == scores["persistence_error"][0][0] == 50.0


@pytest.mark.parametrize("offset_ms", [-30_001, 30_001, 400_000])
def test_a_sample_too_far_from_the_target_time_scores_nothing(offset_ms: int) -> None:
    records = [sample(START_MS), sample(START_MS + HORIZON_MS + offset_ms)]
    assert NETWORK_SCORE not in _run(records).outputs


@pytest.mark.parametrize("period_ms", [5_000, 20_000, 30_000, 60_000, 61_000])
def test_every_forecast_is_scored_at_most_once_and_a_sample_scores_one(period_ms: int) -> None:
    result = _run(_series(np.full(1500, 100.0), period_ms))
    scores = result.outputs[NETWORK_SCORE]
    assert len(set(scores.columns["prediction_time"].tolist())) == len(scores.row) == len(set(scores.row.tolist()))
    away = scores.columns["timestamp"] - scores.columns["prediction_time"] - HORIZON_MS
    assert np.abs(away).max() <= 30_000
    spacing_ms = -(-SPACING_MS // period_ms) * period_ms
    expected = (1500 * period_ms - HORIZON_MS) / spacing_ms
    assert len(scores.row) > 0.9 * expected - 2


def test_persistence_is_exact_in_single_precision_and_the_moving_averages_distance_to_it_in_eight_bits() -> None:
    values = np.random.default_rng(0).uniform(50, 500, 60)
    result = _run(_series(values))
    actual = values[15:]
    np.testing.assert_allclose(_score(result, "persistence_error"), np.abs(values[:-15] - actual), atol=500 * 2**-23)
    mean = np.array([values[max(0, k - 9) : k + 1].mean() for k in range(len(values) - 15)])
    allowed = 2**-8 * np.abs(mean - values[:-15]).max()
    np.testing.assert_allclose(_score(result, "moving_average_error"), np.abs(mean - actual), atol=allowed)


@pytest.mark.parametrize("target", range(4))
def test_the_forecast_beats_persistence_on_links_with_a_daily_cycle(target: int) -> None:
    result = _run(network_stream(minutes=1500, links=4))
    late = np.asarray(result.outputs[NETWORK_SCORE].columns["timestamp"]) > START_MS + 300 * MINUTE_MS
    error = _score(result, "error", target)[late].mean()
    assert error < 0.95 * _score(result, "persistence_error", target)[late].mean()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_skill_does_not_depend_on_the_links_size(scale: float) -> None:
    rng = np.random.default_rng(1)
    values = scale * (100.0 + 10.0 * rng.normal(size=1200))
    result = _run(_series(values))
    ratio = _score(result, "error").mean() / _score(result, "persistence_error").mean()
    assert ratio < 0.8


def test_a_random_walk_is_not_forecast_much_worse_than_persistence() -> None:
    values = 1000.0 + np.cumsum(np.random.default_rng(2).normal(size=3000))
    result = _run(_series(values))
    assert _score(result, "error").mean() < 1.05 * _score(result, "persistence_error").mean()


def test_intervals_cover_ninety_percent() -> None:
    values = 100.0 + 10.0 * np.random.default_rng(3).normal(size=4000)
    covered = _score(_run(_series(values)), "covered")
    assert 0.87 < covered[500:].mean() < 0.93


def test_confidence_follows_the_relative_error_of_the_last_twenty() -> None:
    result = _run(_series(np.random.default_rng(4).uniform(90, 110, 200)))
    scores = result.outputs[NETWORK_SCORE].columns
    actual = np.asarray(scores["actual"])
    relative = (np.asarray(scores["error"])[:, :2] / actual[:, :2]).mean(axis=1)
    expected = np.clip(1.0 - relative[-20:].mean() / 0.2, 0.0, 1.0)
    assert result.outputs[NETWORK_FORECAST].columns["confidence"][-1] == pytest.approx(expected, abs=5e-4)


@pytest.mark.parametrize("target", range(4))
def test_each_targets_confidence_follows_its_own_errors(target: int) -> None:
    result = _run(network_stream(400, 1))
    said = np.asarray(result.outputs[NETWORK_FORECAST].columns["target_confidence"])[:, target]
    scores = result.outputs[NETWORK_SCORE].columns
    error, actual = (np.asarray(scores[name])[:, target] for name in ("error", "actual"))
    relative = np.where(actual > 0.0, error / np.maximum(actual, 1e-300), error > 0.0)
    mean = 0.0
    for k, one in enumerate(relative):
        mean += (min(one, 3.9) - mean) / min(k + 1, 20)
    assert said[-1] == pytest.approx(np.clip(1.0 - mean / 0.2, 0.0, 1.0), abs=1e-5)
    assert (said[: 15 + 9] == 0.5).all()
    assert ((said >= 0.0) & (said <= 1.0)).all()


def test_new_links_forecast_as_the_links_of_their_type_do() -> None:
    noisy = np.random.default_rng(5).uniform(50, 150, 400)
    known = [r for k, v in enumerate(noisy) for r in (sample(START_MS + k * MINUTE_MS, rate=float(v)),)]
    start = START_MS + 400 * MINUTE_MS
    new = [sample(start + k * MINUTE_MS, rate=float(v), node_id="new") for k, v in enumerate(noisy[:12])]
    forecast = _run(known + new).outputs[NETWORK_FORECAST].columns["predicted_bandwidth_mbps"][-1]
    assert abs(forecast - 100.0) < abs(noisy[11] - 100.0)


@pytest.mark.parametrize("value", [0.0, 1e-9, 1e7])
def test_extreme_constant_links_stay_finite(value: float) -> None:
    records = _series(np.full(100, value), rtt=value / 10, jitter_ms=0.0, packet_loss=1.0)
    result = _run(records)
    for output in result.outputs.values():
        for name, column in output.columns.items():
            values = np.asarray(column)
            if values.dtype.kind == "f":
                missing = np.isnan(values) & (name == "amst_effectiveness")  # where nothing was applied
                assert (np.isfinite(values) | missing).all(), name
    forecast = result.outputs[NETWORK_FORECAST].columns
    assert forecast["predicted_bandwidth_mbps"][-1] == pytest.approx(value)
    assert (np.asarray(forecast["lower"]) >= 0.0).all()
    assert (np.asarray(forecast["upper"])[:, 2] <= 1.0).all()


def test_applied_parameters_become_current() -> None:
    steady = _run(_series(np.full(60, 500.0)))
    forecast = steady.outputs[NETWORK_FORECAST].columns
    assert forecast["amst_action"][-1] == "apply"
    assert forecast["amst_streams"][-1] == 50


def test_tuned_streams_are_published_on_links_of_their_type_and_nothing_else_changes() -> None:
    records = network_stream(60, 4)
    plain = NetworkState().step(samples_of(records)).outputs[NETWORK_FORECAST].columns
    tuned = NetworkState(amst_factors=(1.0, 1.0, 0.5, 2.0)).step(samples_of(records)).outputs[NETWORK_FORECAST].columns
    formula, streams = (np.asarray(columns["amst_streams"]) for columns in (plain, tuned))
    kind = np.asarray(plain["link_type"])
    np.testing.assert_array_equal(streams[kind == "dc"], formula[kind == "dc"])
    assert (np.abs(streams[kind == "wan"] - 0.5 * formula[kind == "wan"]) < 2).all()
    assert (np.abs(streams[kind == "edge"] - 2.0 * formula[kind == "edge"]) < 2).all()
    for name in ("predicted_bandwidth_mbps", "lower", "confidence", "amst_buffer_bytes"):
        np.testing.assert_array_equal(plain[name], tuned[name])


@pytest.mark.parametrize("links", [7, 8, 23])
def test_gauges_of_many_links_are_of_some_evenly_spaced(links: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """They count for all, so that partitions of unlike size weigh what they have."""
    monkeypatch.setattr(module, "_GAUGED", 8)
    state = NetworkState()
    state.step(samples_of([sample(START_MS, node_id=f"n{k}", rate=float(k)) for k in range(links)]))
    every = -(-links // 8)
    looked_at = np.arange(links)[::every]
    gauges = state.gauges()
    assert gauges["network_links"] == (links, None)
    assert gauges["current_throughput_mbps"] == (pytest.approx(looked_at.mean() * links), links)
    assert gauges["forecast_confidence"] == (pytest.approx(0.5 * links), links)


def test_gauges_are_the_scores_means() -> None:
    state = NetworkState()
    result = state.step(samples_of(network_stream(60, 3)))
    gauges = state.gauges()
    for m, target in enumerate(TARGETS):
        total, n = gauges[f"forecast_mae_{target}"]
        assert n
        assert total / n == pytest.approx(_score(result, "error", m).mean())
