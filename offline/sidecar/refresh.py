"""Capacity, forecast anew every day from the hourly rollups that the archive has.

`python -m offline.sidecar.refresh TOPICS BEFORE OUT` does it in a process of its own: the forecasts of
a year of hours take a while.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from offline.capacity.command import outlook_of
from offline.capacity.history import make_history
from offline.capacity.plan import Case, divergence_alerts, make_case, make_plan, urgency_alerts
from offline.capacity.resource import read_settings, usable
from offline.capacity.rollup import series_of
from offline.sidecar.archive import Archive
from schemas.capacity import CapacityAlert, CapacityForecast, CapacityPlan
from schemas.error import ConfigError
from schemas.rollup import SystemRollup
from schemas.topic import SYSTEM_ROLLUP

SCOPE = "all"
_DAY_MS = 86_400_000


class Refreshed(msgspec.Struct, frozen=True):
    """A day's forecasts, the plan they lead to, and what became more urgent since the last one."""

    forecasts: list[CapacityForecast]
    plan: CapacityPlan
    alerts: list[CapacityAlert]


def read_refreshed(path: Path) -> Refreshed | None:
    """What a refresh wrote; None where there is nothing."""
    return msgspec.json.decode(path.read_bytes(), type=Refreshed | None) if path.exists() else None


def refresh(archive: Archive, before: Refreshed | None, now_ms: int, days: int = 30) -> Refreshed | None:
    """Forecasts of every resource of all nodes together; None while no resource has history enough."""
    rollups = list(_rollups(archive))
    if not rollups:
        return None
    series = series_of(rollups)
    settings, known = read_settings(None)
    cases: list[Case] = []
    for name, one in known.items():
        column = next((c for c in (name, *one.columns) if c in series.columns), None)
        if column is None or one.critical is None:
            continue
        try:
            history = make_history(column, series.time_ms, series.columns[column])
            cases.append(make_case(SCOPE, name, usable(name, one), outlook_of(history, days * _DAY_MS, [])))
        except ConfigError:
            continue  # not enough hours yet
    if not cases:
        return None
    plan = make_plan(SCOPE, cases, settings, now_ms)
    alerts = urgency_alerts(plan, cases, before.plan if before else None)
    if before:
        alerts += divergence_alerts(plan, cases, before.forecasts, settings.divergence_pct)
    return Refreshed([case.forecast for case in cases], plan, alerts)


def _rollups(archive: Archive) -> Iterator[SystemRollup]:
    for table in archive.read(SYSTEM_ROLLUP):
        for row in table.drop_columns(["origin"]).to_pylist():
            yield msgspec.convert(_plain(row), SystemRollup)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    """A row with times in ms and maps as dictionaries."""
    plain: dict[str, Any] = {
        name: int(v.timestamp() * 1000) if hasattr(v, "timestamp") else v for name, v in row.items()
    }
    plain["metrics"] = dict(plain["metrics"])
    return plain


def main(topics: str, before: str, out: str) -> None:
    """Forecast from the data sets under `topics`, compare with what `before` holds, write it to `out`."""
    found = refresh(Archive(Path(topics)), read_refreshed(Path(before)), time.time_ns() // 1_000_000)
    Path(out).write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
