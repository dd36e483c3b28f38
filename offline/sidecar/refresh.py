"""Capacity, forecast anew every day from the hourly rollups that the archive has.

`python -m offline.sidecar.refresh TOPICS BEFORE OUT SCOPES` does it in a process of its own: the forecasts of
a year of hours take a while. SCOPES is `all`, or `nodes` for each node as well.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from offline.capacity.command import outlook_of
from offline.capacity.history import make_history
from offline.capacity.plan import Case, divergence_alerts, make_case, make_plan, urgency_alerts
from offline.capacity.resource import Resource, read_settings, usable
from offline.capacity.rollup import series_of
from offline.sidecar.archive import Archive
from schemas.capacity import CapacityAlert, CapacityForecast, CapacityPlan
from schemas.error import ConfigError
from schemas.rollup import SystemRollup
from schemas.topic import SYSTEM_ROLLUP

LEAST_DAYS = 28
"""Of history before a resource is forecast here: with less, what one fortnight did is taken for a trend, and alerts."""

SCOPE = "all"
_DAY_MS = 86_400_000


class Refreshed(msgspec.Struct, frozen=True):
    """A day's forecasts, the plan they lead to for each scope, and what became more urgent since the last one."""

    forecasts: list[CapacityForecast]
    plans: list[CapacityPlan]
    alerts: list[CapacityAlert]


def read_refreshed(path: Path) -> Refreshed | None:
    """What a refresh wrote; None where there is nothing, or what another release of ours wrote."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Refreshed | None) if path.exists() else None
    except msgspec.ValidationError:
        return None


def refresh(
    archive: Archive, before: Refreshed | None, now_ms: int, days: int = 30, each_node: bool = False
) -> Refreshed | None:
    """Forecasts of every resource of all nodes together; None while no resource has history enough.

    Parameters
    ----------
    archive
        Where the rollups are.
    before
        The last forecasts: alerts tell what changed since.
    now_ms
        UTC epoch ms.
    days
        Ahead.
    each_node
        Forecast each node as well, as a scope of its name.
    """
    by_node: dict[str, list[SystemRollup]] = defaultdict(list)
    for one in _rollups(archive):
        by_node[one.node_id].append(one)
    scopes = {SCOPE: [one for own in by_node.values() for one in own]} | (by_node if each_node else {})
    settings, known = read_settings(None)
    earlier = {plan.scope: plan for plan in before.plans} if before else {}
    forecasts, plans, alerts = [], [], []
    for scope, rollups in scopes.items():
        cases = _cases(scope, rollups, known, days)
        if not cases:
            continue
        plan = make_plan(scope, cases, settings, now_ms)
        plans.append(plan)
        forecasts += [case.forecast for case in cases]
        alerts += urgency_alerts(plan, cases, earlier.get(scope))
        if before:
            alerts += divergence_alerts(plan, cases, before.forecasts, settings.divergence_pct)
    return Refreshed(forecasts, plans, alerts) if plans else None


def _cases(scope: str, rollups: list[SystemRollup], known: dict[str, Resource], days: int) -> list[Case]:
    """A forecast of every resource that has a level and hours enough."""
    cases: list[Case] = []
    if not any(one.window == "hour" for one in rollups):
        return cases
    series = series_of(rollups)
    for name, one in known.items():
        column = next((c for c in (name, *one.columns) if c in series.columns), None)
        if column is None or one.critical is None:
            continue
        try:
            history = make_history(column, series.time_ms, series.columns[column])
            if len(history) * history.step_ms < LEAST_DAYS * _DAY_MS:
                continue
            cases.append(make_case(scope, name, usable(name, one), outlook_of(history, days * _DAY_MS, [])))
        except ConfigError:
            continue  # not enough hours yet
    return cases


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


def main(topics: str, before: str, out: str, scopes: str = SCOPE) -> None:
    """Forecast from the data sets under `topics`, compare with what `before` holds, write it to `out`."""
    now_ms = time.time_ns() // 1_000_000
    found = refresh(Archive(Path(topics)), read_refreshed(Path(before)), now_ms, each_node=scopes == "nodes")
    Path(out).write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
