"""The 27 features are what NumPy and SciPy say they are, whatever arrives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from online_models.collector.buffer import ABOUT, N_METRICS, Collected, buffer_fields, collect, push_sample, unroll
from online_models.collector.feature import (
    N_FEATURES,
    SPECTRUM_MIN,
    median_spacing,
    newest_above,
    rank_values,
    write_calendar,
    write_even,
    write_quantiles,
    write_spectra,
    write_statistics,
)
from online_models.slot import row_dtype
from schemas.error import ConfigError
from schemas.performance import LAGS, PERFORMANCE_FEATURES, QUANTILES

VALUES = st.lists(st.floats(-(2.0**40), 2.0**40, width=32), min_size=1, max_size=150)


def _statistics(values: Any) -> dict[str, float]:
    value = np.asarray(values, np.float64)
    out = np.zeros(N_FEATURES)
    write_statistics(value, len(value), out)
    write_quantiles(np.sort(value), len(value), out)
    return dict(zip(PERFORMANCE_FEATURES, out.tolist(), strict=True))


def _spectrum(values: Any, spacing_ms: int = 5000) -> dict[str, float]:
    features = np.zeros((1, 1, N_FEATURES))
    write_spectra(np.asarray(values, np.float64)[None, None], np.array([len(values)]), np.array([spacing_ms]), features)
    return dict(zip(PERFORMANCE_FEATURES, features[0, 0].tolist(), strict=True))


@settings(deadline=None)  # the first call compiles
@given(VALUES)
def test_distribution_is_numpy_s(values: list[float]) -> None:
    found, x = _statistics(values), np.array(values)
    assert found["mean"] == pytest.approx(x.mean(), rel=1e-9, abs=1e-9 * np.abs(x).max())
    assert (found["min"], found["max"]) == (x.min(), x.max())
    for name, q in zip(PERFORMANCE_FEATURES[7:13], QUANTILES, strict=True):
        assert found[name] == pytest.approx(np.quantile(x, q), rel=1e-9, abs=1e-9 * np.abs(x).max())
    if len(x) > 1:
        assert found["std"] == pytest.approx(x.std(ddof=1), rel=1e-6, abs=1e-9 * np.abs(x).max())


@pytest.mark.parametrize("n", [3, 4, 5, 60, 128, 1000])
@pytest.mark.parametrize("kind", ["normal", "exponential", "two values"])
def test_skewness_and_kurtosis_are_scipy_s_without_bias(n: int, kind: str) -> None:
    rng = np.random.default_rng(n)
    x = {"normal": rng.normal(1e6, 1, n), "exponential": rng.exponential(1, n), "two values": np.arange(n) % 2.0}[kind]
    found = _statistics(x)
    assert found["skewness"] == pytest.approx(stats.skew(x, bias=False), rel=1e-6, abs=1e-9)
    if n >= 4:
        assert found["kurtosis"] == pytest.approx(stats.kurtosis(x, bias=False), rel=1e-6, abs=1e-9)


@settings(deadline=None)  # the first call compiles
@given(VALUES)
def test_lags_reach_back_or_are_the_oldest(values: list[float]) -> None:
    found = _statistics(values)
    for k in LAGS:
        lag = values[-1 - k] if k < len(values) else values[0]
        assert found[f"lag_{k}"] == lag
        assert found[f"diff_{k}"] == values[-1] - lag


@settings(deadline=None)  # the first call compiles
@given(st.floats(-(2.0**99), 2.0**99, width=32), st.integers(1, 140))
def test_a_constant_has_neither_spread_nor_spectrum(value: float, n: int) -> None:
    found = _statistics(np.full(n, value))
    assert found["mean"] == found["q50"] == value
    assert found["std"] == found["skewness"] == found["kurtosis"] == 0.0
    spectrum = _spectrum(np.full(n, value))
    assert spectrum["dominant_frequency_hz"] == spectrum["spectral_entropy"] == 0.0


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=140))
def test_features_are_numbers_whatever_comes(values: list[float]) -> None:
    node = np.zeros(1, row_dtype(*buffer_fields(128, 1)))[0]
    for k, value in enumerate(values):
        push_sample(node, 1 + k, np.array([value]))
    time_ms, window = np.zeros(128, np.int64), np.zeros((1, 128))
    n = unroll(node, 128, time_ms, window)
    assert n == min(len(values), 128)
    assert np.isfinite(list(_statistics(window[0, :n]).values())).all()
    assert np.isfinite(list(_spectrum(window[0, :n]).values())).all()


@pytest.mark.parametrize("n", [SPECTRUM_MIN, 61, 64, 100, 128])
def test_spectrum_is_scipy_s_periodogram(n: int) -> None:
    x = np.random.default_rng(n).normal(50, 10, n)
    frequency, power = signal.periodogram(x, fs=0.2, detrend="constant", scaling="spectrum")
    power[1 : -1 if n % 2 == 0 else None] /= 2  # one-sided: SciPy doubles what stands for two frequencies
    share = power[1:] / power[1:].sum()
    found = _spectrum(x)
    assert found["dominant_frequency_hz"] == pytest.approx(frequency[1:][np.argmax(power[1:])])
    assert found["spectral_entropy"] == pytest.approx(stats.entropy(share) / np.log(len(share)))


@pytest.mark.parametrize("cycles", [1, 4, 13, 32])
def test_a_sine_is_its_frequency_and_nothing_else(cycles: int) -> None:
    found = _spectrum(100 + 7 * np.sin(2 * np.pi * cycles * np.arange(128) / 128 + 0.3))
    assert found["dominant_frequency_hz"] == pytest.approx(cycles / 640)
    assert found["spectral_entropy"] < 1e-6


def test_a_short_window_has_no_spectrum() -> None:
    found = _spectrum(np.arange(SPECTRUM_MIN - 1.0))
    assert found["dominant_frequency_hz"] == found["spectral_entropy"] == 0.0


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.integers(1, 60_000), min_size=1, max_size=80))
def test_even_windows_are_numpy_s_interpolation(gaps: list[int]) -> None:
    time_ms = np.cumsum(np.array([1_700_000_000_000, *gaps]))
    values = np.random.default_rng(len(gaps)).normal(size=(len(time_ms), 2))
    spacing = median_spacing(time_ms, np.zeros(len(time_ms), np.int64))
    assert spacing == np.sort(gaps)[(len(gaps) - 1) // 2]
    out = np.zeros((2, len(time_ms)))
    n = write_even(time_ms, np.ascontiguousarray(values.T), spacing, out)
    at = time_ms[-1] - spacing * np.arange(n)[::-1]
    assert at[0] >= time_ms[0]
    for j in range(2):
        assert out[j, :n] == pytest.approx(np.interp(at - time_ms[0], time_ms - time_ms[0], values[:, j]))


def test_even_samples_stay_as_they_are() -> None:
    time_ms, values = np.arange(70) * 5000, np.random.default_rng(0).normal(size=(1, 70))
    out = np.zeros((1, 70))
    assert write_even(time_ms, values, 5000, out) == 70
    assert (out == values).all()


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.floats(-(2.0**30), 2.0**30, width=32) | st.integers(-3, 3).map(float), max_size=64))
def test_ranking_sorts(values: list[float]) -> None:
    x, ordered = np.zeros(64), np.zeros(len(values))
    x[: len(values)] = values
    rank_values(x, len(values), np.zeros(64, np.float32), ordered)
    assert ordered.tolist() == sorted(values)


@pytest.mark.parametrize(
    ("time_ms", "hour", "day"),
    [(0, 0.0, 3.0), (1_767_571_200_000, 0.0, 0.0), (1_767_571_200_000 - 1_800_000, 23.5, 6.0)],
)
def test_days_begin_on_monday_in_utc(time_ms: int, hour: float, day: float) -> None:
    out = np.zeros(N_FEATURES)
    write_calendar(time_ms, out)
    assert out[:2].tolist() == [hour, day]


def test_the_newest_spike_counts() -> None:
    value = np.ones(100) + 0.01 * np.random.default_rng(1).normal(size=100)
    time_ms = 1000 + np.arange(100)
    assert newest_above(time_ms, value, 100, 2.0) == 0
    value[[20, 70]] = 9.0
    assert newest_above(time_ms, value, 100, 2.0) == 1070
    assert newest_above(time_ms, value, 70, 2.0) == 1020


@pytest.mark.parametrize(("pushed", "limit", "kept"), [(3, 64, 3), (64, 64, 64), (200, 64, 64), (200, 10, 10)])
def test_the_buffer_keeps_the_newest_in_order(pushed: int, limit: int, kept: int) -> None:
    node = np.zeros(1, row_dtype(*buffer_fields(64, 2)))[0]
    for k in range(pushed):
        push_sample(node, 100 + k, np.array([k, -k], np.float64))
    time_ms, value = np.zeros(limit, np.int64), np.zeros((2, limit))
    assert unroll(node, limit, time_ms, value) == kept
    assert time_ms[:kept].tolist() == list(range(100 + pushed - kept, 100 + pushed))
    assert (value[0, :kept] == -value[1, :kept]).all()
    assert value[0, kept - 1] == pushed - 1


@pytest.mark.parametrize("window", [0, 63, 10_001])
def test_windows_have_bounds(window: int) -> None:
    with pytest.raises(ConfigError, match="64 to 10000"):
        buffer_fields(window)


@pytest.mark.parametrize(("window", "size"), [(128, 9_376), (10_000, 720_160)])
def test_bytes_per_node_are_as_said(window: int, size: int) -> None:
    assert row_dtype(*buffer_fields(window, N_METRICS)).itemsize == size


def _fed(window: int, gaps_ms: Any, seed: int) -> Any:
    node = np.zeros(1, row_dtype(*buffer_fields(window)))[0]
    rng = np.random.default_rng(seed)
    values = np.cumsum(rng.normal(size=(len(gaps_ms), N_METRICS)), axis=0) + rng.exponential(
        1, (len(gaps_ms), N_METRICS)
    )
    for time_ms, x in zip(np.cumsum(gaps_ms).tolist(), values, strict=True):
        push_sample(node, time_ms, x)
    return node, values.astype(np.float32).astype(np.float64)[-window:]


def _collect(nodes: Any, window: int) -> Any:
    room = Collected(window)
    for k, node in enumerate(nodes):
        collect(
            node, room.time, room.value, room.work,
            room.features[k], room.even[k], room.ordered[k], room.about[k],
        )  # fmt: skip
    return room.finish(len(nodes))


@pytest.mark.parametrize("samples", [1, 7, 8, 100, 128, 400])
def test_a_node_s_features_are_those_of_its_metrics(samples: int) -> None:
    node, values = _fed(128, np.full(samples, 5000), samples)
    about, features = _collect([node], 128)
    assert about["samples"][0] == min(samples, 128)
    for j in range(N_METRICS):
        alone = _statistics(values[:, j]) | {
            name: value for name, value in _spectrum(values[:, j]).items() if name.startswith(("dominant", "spectral"))
        }
        said = dict(zip(PERFORMANCE_FEATURES, features[0, j].tolist(), strict=True))
        assert {k: said[k] for k in PERFORMANCE_FEATURES[3:]} == pytest.approx(
            {k: alone[k] for k in PERFORMANCE_FEATURES[3:]}
        )


def test_features_do_not_depend_on_the_nodes_beside() -> None:
    rng = np.random.default_rng(0)
    gaps = [np.full(200, 5000), rng.integers(1, 9000, 150), np.full(30, 5000), np.full(128, 1000), np.full(300, 5000)]
    together = _collect([_fed(128, gap, k)[0] for k, gap in enumerate(gaps)], 128)
    for k, gap in enumerate(gaps):
        alone = _collect([_fed(128, gap, k)[0]], 128)
        assert together[0][k] == alone[0][0]
        assert together[1][k].tobytes() == alone[1][0].tobytes()


@pytest.mark.parametrize("window", [64, 128, 10_000])
def test_there_is_room_for_some_nodes(window: int) -> None:
    room = Collected(window)
    assert room.about.dtype == ABOUT
    assert 1 <= len(room.features) == len(room.even) <= 128
