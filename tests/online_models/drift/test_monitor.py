"""Drift alerts: found where there is drift, silent where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.drift.monitor import BLOCK, DriftMonitor, alerts
from tests.online_models.stream import network_stream, samples_of


def _feed(errors: np.ndarray) -> list[int]:
    monitor = DriftMonitor("m", "error", "1")
    return [shift.row for shift in monitor.update(range(len(errors)), errors.tolist())]


@pytest.mark.parametrize(("before", "after"), [(0.05, 0.15), (0.02, 0.2), (0.2, 0.35)])
@pytest.mark.parametrize("seed", range(3))
def test_a_rise_is_found_within_a_thousand_errors(before: float, after: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    errors = np.concatenate([rng.random(10_000) < before, rng.random(5_000) < after]).astype(float)
    found = _feed(errors)
    assert found
    assert 10_000 < found[0] < 11_000


@pytest.mark.parametrize("rate", [0.0, 0.01, 0.05, 0.3, 1.0])
def test_no_alarm_in_three_hundred_thousand_steady_errors(rate: float) -> None:
    rng = np.random.default_rng(7)
    assert _feed((rng.random(300_000) < rate).astype(float)) == []


def test_an_improvement_is_not_an_alarm() -> None:
    rng = np.random.default_rng(0)
    assert _feed(np.concatenate([rng.random(5000) < 0.3, rng.random(5000) < 0.05]).astype(float)) == []


def test_alarms_come_at_block_ends_whatever_the_cut() -> None:
    rng = np.random.default_rng(1)
    errors = np.concatenate([rng.random(3000) < 0.05, rng.random(3000) < 0.4]).astype(float).tolist()
    whole = DriftMonitor("m", "error", "1").update(range(6000), errors)
    monitor = DriftMonitor("m", "error", "1")
    pieces = [
        shift for at in range(0, 6000, 7) for shift in monitor.update(range(at, min(at + 7, 6000)), errors[at : at + 7])
    ]
    assert [s[2:] for s in whole] == [s[2:] for s in pieces]
    assert [s.row for s in whole] == [s.row for s in pieces]
    assert all((s.row + 1) % BLOCK == 0 for s in whole)


def test_alert_columns_name_what_drifted() -> None:
    batch = samples_of(network_stream(20, 5))
    rng = np.random.default_rng(2)
    monitor = DriftMonitor("forecaster", "relative_error.wan", "v")
    monitor.update([0] * 5000, (0.1 * rng.random(5000)).tolist())
    shifts = monitor.update([7] * 2000, (0.3 + 0.1 * rng.random(2000)).tolist())
    found = alerts(batch, shifts)
    assert found is not None
    assert found.row.tolist() == [7]
    assert found.columns["timestamp"][0] == batch.columns["timestamp"][7]
    assert found.columns["feature"] == ["relative_error.wan"]
    assert found.columns["value"][0] > found.columns["threshold"][0] > 0.05
    assert alerts(batch, []) is None
