"""Drift alerts where a line changed and where nothing does: a cable link with two dated upgrades, and AR(.9) noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np

from offline.backtest.drift import drifts_of
from offline.series import read_series
from online_models.drift.change import ChangeDetector
from streams.recording.column import parse_time

FEATURES: Final = ("ping", "download", "upload")
UPGRADES: Final = ("2018-05-13 08:00:00", "2019-03-28 05:00:00")
"""First sample at the new speed, in the file's clock; published as 19:30 and 17:30 of the same days, local time."""

SEEDS: Final = range(40)
POINTS: Final = 5_000
_DAY_MS: Final = 86_400_000
_PERSISTENCE: Final = 0.9


def upgrades_found(folder: Path) -> dict[str, Any]:
    """Hours from each upgrade to the first alert that is within a day of it, by feature; and all alerts."""
    series = read_series(folder / "speedtests.csv", "datetimestart", list(FEATURES))
    alerts = [(parse_time(alert.time), alert.feature) for alert in drifts_of(series, FEATURES)]
    found: dict[str, Any] = {}
    for text in UPGRADES:
        at = parse_time(text)
        near = {}
        for time_ms, feature in alerts:
            if 0 <= time_ms - at <= _DAY_MS:
                near.setdefault(feature, round((time_ms - at) / 3_600_000, 1))
        found[text] = near
    days = (series.time_ms[-1] - series.time_ms[0]) / _DAY_MS
    return {"hours_until_an_alert": found, "alerts": len(alerts), "days": round(float(days))}


def stationary_false_alerts() -> dict[str, Any]:
    """Alerts per 1,000 points of stationary AR(.9) at a sample a minute."""
    alerts = 0
    for seed in SEEDS:
        noise = np.random.default_rng(seed).normal(0, 1, POINTS)
        values = np.empty(POINTS)
        values[0] = noise[0] / np.sqrt(1 - _PERSISTENCE**2)
        for k in range(1, POINTS):
            values[k] = _PERSISTENCE * values[k - 1] + noise[k]
        alerts += len(ChangeDetector().step(np.arange(POINTS) * 60_000, 30 + values))
    points = POINTS * len(SEEDS)
    return {"points": points, "alerts": alerts, "per_1000_points": round(1000 * alerts / points, 4)}
