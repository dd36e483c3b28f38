"""Drift of metrics: found soon where it is, rarely said where it is not; distances as scipy has them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from online_models.drift.change import ChangeDetector
from online_models.drift.divergence import BINS, ks_distance, ks_limit, psi, psi_level, reference_edges


def _autoregressive(seed: int, rows: int, share: float = 0.9) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=rows)
    found = np.empty(rows)
    found[0] = noise[0]
    for i in range(1, rows):
        found[i] = share * found[i - 1] + noise[i]
    return found


def _changes(values: np.ndarray, period_s: int = 300) -> list:
    return ChangeDetector().step(np.arange(len(values)) * period_s * 1000, values)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_stationary_telemetry_raises_next_to_nothing(share: float) -> None:
    found = [len(_changes(50 + 3 * _autoregressive(seed, 10_000, share))) for seed in range(8)]
    assert sum(found) / 80 < 0.2  # per 1,000 points; the goal is 1


def test_a_day_raises_next_to_nothing() -> None:
    rows = 288 * 30
    day = 50 + 20 * np.sin(np.arange(rows) * 2 * np.pi / 288)
    assert len(_changes(day + _autoregressive(1, rows))) <= 4


@pytest.mark.parametrize("period_s", [60, 1800])
@pytest.mark.parametrize("seed", range(3))
def test_a_level_shift_is_alerted_within_a_day_of_half_hours(seed: int, period_s: int) -> None:
    values = 50 + _autoregressive(seed, 3000)
    values[2000:] += 12
    found = [change for change in _changes(values, period_s) if change.row >= 2000]
    assert found[0].row < 2048
    assert found[0].statistic == "page_hinkley_mean"
    assert found[0].value > found[0].threshold
    assert 0 < found[0].window <= 48
    assert len(found) <= 3


@pytest.mark.parametrize("factor", [0.4, 2.5])
@pytest.mark.parametrize("seed", range(3))
def test_a_change_of_variance_is_alerted(factor: float, seed: int) -> None:
    values = np.random.default_rng(seed).normal(0, 1, 4000)
    values[2000:] *= factor
    found = [change for change in _changes(values) if change.row >= 2000]
    assert found[0].row < 2300
    assert "page_hinkley_variance" in {change.statistic for change in found[:2]} or factor > 1


@pytest.mark.parametrize("seed", range(3))
def test_a_second_shift_is_alerted_too(seed: int) -> None:
    values = 50 + _autoregressive(seed, 4000)
    values[1500:] += 15
    values[2500:] -= 15
    rows = [change.row for change in _changes(values)]
    for shift in (1500, 2500):
        assert any(shift <= row < shift + 48 for row in rows)
    assert len(rows) <= 4


def test_one_wild_value_is_no_drift() -> None:
    values = 50 + _autoregressive(5, 3000)
    values[[1000, 1500, 2000]] = 1e6
    assert _changes(values) == []


@pytest.mark.parametrize("value", [0.0, 3.0, np.nan])
def test_nothing_is_said_of_a_constant(value: float) -> None:
    assert _changes(np.full(2000, value)) == []


@pytest.mark.parametrize("cut", [1, 97])
def test_changes_do_not_depend_on_the_cut(cut: int) -> None:
    values = 50 + _autoregressive(6, 1500)
    values[800:] += 12
    time_ms = np.arange(1500) * 60_000
    detector = ChangeDetector()
    pieces = [
        change._replace(row=change.row + at)
        for at in range(0, 1500, cut)
        for change in detector.step(time_ms[at : at + cut], values[at : at + cut])
    ]
    whole = ChangeDetector().step(time_ms, values)
    assert pieces == whole != []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", [0.0, 0.3, 1.0])
def test_the_ks_distance_is_scipys(seed: int, shift: float) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.normal(0, 1, 400).round(1), rng.normal(shift, 1, 300).round(1)
    assert ks_distance(one, two) == pytest.approx(stats.ks_2samp(one, two).statistic, abs=1e-12)


@pytest.mark.parametrize("significance", [0.05, 0.01, 0.001])
def test_the_ks_limit_is_where_scipys_asymptotic_p_value_is(significance: float) -> None:
    limit = ks_limit(5000, 4000, significance)
    scaled = limit * np.sqrt(5000 * 4000 / 9000)
    assert stats.kstwobign.sf(scaled) == pytest.approx(significance, rel=0.01)


@pytest.mark.parametrize("shift", [0.0, 0.2, 0.5, 2.0])
def test_psi_is_the_symmetric_divergence_of_the_bin_shares(shift: float) -> None:
    rng = np.random.default_rng(3)
    one, two = rng.normal(0, 1, 5000), rng.normal(shift, 1, 5000)
    edges = np.concatenate(([-np.inf], reference_edges(one), [np.inf]))
    p, q = (np.histogram(values, edges)[0] / 5000 for values in (one, two))
    p, q = np.maximum(p, 1e-4), np.maximum(q, 1e-4)
    assert psi(one, two) == pytest.approx(stats.entropy(q, p) + stats.entropy(p, q), rel=0.01)


@pytest.mark.parametrize(("value", "level"), [(0.1, "ok"), (0.11, "warn"), (0.15, "warn"), (0.151, "alert")])
def test_psi_levels(value: float, level: str) -> None:
    assert psi_level(value) == level


def test_the_bins_hold_a_tenth_each_and_are_open() -> None:
    reference = np.random.default_rng(0).normal(size=10_000)
    edges = reference_edges(reference)
    assert len(edges) == BINS - 1
    assert np.bincount(np.searchsorted(edges, reference)).tolist() == pytest.approx([1000] * 10, abs=1)
    assert np.isfinite(psi(reference, reference + 1e9))


def test_a_constant_reference_meets_a_change() -> None:
    assert psi(np.zeros(100), np.zeros(100)) == 0.0
    assert psi(np.zeros(100), np.ones(100)) == 0.0 or psi_level(psi(np.zeros(100), -np.ones(100))) == "alert"


@pytest.mark.parametrize("values", [np.array([]), np.array([np.nan])])
def test_nothing_to_compare_is_said(values: np.ndarray) -> None:
    with pytest.raises(ValueError, match="finite"):
        psi(values, np.ones(3))
