"""Scenario `growth`: disks of some nodes fill up, and the capacity topic says so weeks before.

Workers tell every node's hours and days as they pass; the sidecar forecasts each node from them
again and again, and alerts when a resource's urgency changes.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from msgspec.json import Decoder

from schemas.capacity import CapacityAlert, CapacityForecast
from schemas.rollup import SystemRollup
from schemas.topic import (
    CAPACITY_ALERT,
    CAPACITY_FORECAST,
    DEAD_LETTER,
    LATE,
    SYSTEM_KEYED,
    SYSTEM_RAW,
    SYSTEM_ROLLUP,
    SYSTEM_SCORE,
)
from streams.demo.plot import draw_growth
from streams.demo.scenario import Asked
from streams.demo.stage import Stage
from streams.demo.timeline import described

TOPICS: Final = (
    SYSTEM_RAW, SYSTEM_KEYED, SYSTEM_SCORE, SYSTEM_ROLLUP, CAPACITY_FORECAST, CAPACITY_ALERT, DEAD_LETTER, LATE
)  # fmt: skip
SPEED: Final = 36_000
NODES: Final = 5
GROWING: Final = 0.4
"""Share of the nodes."""
RESOURCE: Final = "storage"
METRIC: Final = "disk_usage"
LEAD_DAYS: Final = 14.0
DAY_MS: Final = 86_400_000

SIDECAR: Final = (
    "--round", "0.5", "--flush", "1", "--capacity-every", "0.02", "--each-node", "--promote-by", "hand",
    "--train", "selector=never", "--train", "bandwidth=never", "--train", "anomaly=never", "--keep", "system.rollup",
)  # fmt: skip


class Seen:
    """What the topics said about capacity."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.nodes: list[str] = []
        self.exhausted: dict[str, int] = {}
        self.full: set[str] = set()
        self.rollups: Counter[str] = Counter()
        self.daily: dict[str, list[tuple[int, float]]] = {}
        self.forecasts = 0
        self.told: dict[str, CapacityForecast] = {}
        """Of each node's disk the forecast that its URGENT came from, or the newest before it."""
        self.alerts: list[CapacityAlert] = []
        self._rollup = Decoder(SystemRollup).decode
        self._forecast = Decoder(CapacityForecast).decode
        self._alert = Decoder(CapacityAlert).decode
        stage.hears |= {"plan": self._planned, "exhausted": self._exhausted}
        stage.progress = lambda: (
            f"{stage.audit.events_in:,} records, {self.rollups['hour']:,} hours and {self.rollups['day']} days told, "
            f"{self.forecasts} forecasts"
        )
        stage.open(
            TOPICS, {SYSTEM_ROLLUP: self._rolled, CAPACITY_FORECAST: self._forecasted, CAPACITY_ALERT: self._alerted}
        )

    def urgent(self, scope: str) -> CapacityAlert | None:
        """The first URGENT of a node's growing resource."""
        return next(
            (a for a in self.alerts if (a.scope, a.resource, a.urgency) == (scope, RESOURCE, "URGENT")), None
        )  # fmt: skip

    def false(self) -> list[CapacityAlert]:
        """Alerts of urgency above LOW on what does not grow."""
        return [
            one for one in self.alerts
            if one.reason == "urgency" and one.urgency != "LOW" and one.scope in self.nodes
            and not (one.scope in self.exhausted and one.resource == RESOURCE)
        ]  # fmt: skip

    def _planned(self, said: dict[str, Any]) -> None:
        self.nodes, self.exhausted = said["nodes"], said["exhausted"]
        for node, at_ms in self.exhausted.items():
            days = (at_ms - said["time_ms"]) / DAY_MS
            self._stage.timeline.note("plan", f"the disk of {node} will be full after {days:.1f} days", said["time_ms"])

    def _exhausted(self, said: dict[str, Any]) -> None:
        self.full.add(said["node"])
        self._stage.timeline.note("exhausted", f"the disk of {said['node']} is full", said["time_ms"])

    def _rolled(self, value: bytes) -> None:
        one = self._rollup(value)
        self.rollups[one.window] += 1
        if one.window == "day" and METRIC in one.metrics:
            self.daily.setdefault(one.node_id, []).append((one.window_start, one.metrics[METRIC].mean))

    def _forecasted(self, value: bytes) -> None:
        self.forecasts += 1
        one = self._forecast(value)
        urgent = self.urgent(one.scope)
        if one.resource == RESOURCE and (urgent is None or one.timestamp <= urgent.timestamp):
            self.told[one.scope] = one

    def _alerted(self, value: bytes) -> None:
        one = self._alert(value)
        self.alerts.append(one)
        when = (
            "" if one.days_to_threshold is None else f", {one.critical_threshold:g} in {one.days_to_threshold:.1f} days"
        )
        said = f"{one.scope} {one.resource}: {one.urgency} (was {one.previous_urgency or 'unknown'}){when}"
        if one.reason == "divergence":
            said = f"{one.scope} {one.resource}: {one.divergence_pct:+.0f} % off its forecast"
        self._stage.timeline.note(f"{one.reason} alert", said, one.timestamp)


def play(stage: Stage, asked: Asked) -> dict[str, Any]:
    """Play it; the summary."""
    seen = Seen(stage)
    stage.start_worker()
    stage.start_sidecar(*SIDECAR)
    nodes = asked.nodes or NODES
    stage.start_fleet(
        "offline.simulator.growth", "--seed", str(asked.seed), "--speed", str(asked.speed or SPEED),
        "--nodes", str(nodes), "--growing", str(round(GROWING * nodes)),
    )  # fmt: skip
    stage.watch(lambda: seen.exhausted and seen.full == set(seen.exhausted), "exhaustion")
    stage.watch(lambda: all(map(seen.urgent, seen.exhausted)), "URGENT alert of every growing node")
    lost = stage.end()
    if asked.plot is not None:
        draw_growth(asked.plot, seen.daily, seen.told, seen.alerts, seen.exhausted)
    return _summary(stage, seen) | {"lost": lost}


def _summary(stage: Stage, seen: Seen) -> dict[str, Any]:
    """What was told, how long before, and what was told in vain."""
    alerts, ahead = {}, {}
    for node, at_ms in seen.exhausted.items():
        one = seen.urgent(node)
        assert one is not None
        ahead[node] = (at_ms - one.timestamp) / DAY_MS
        alerts[node] = {
            "urgency": one.urgency, "days_ahead": ahead[node], "critical_in_days": one.days_to_threshold,
            "probability": one.exceeds_probability, "action": one.recommended_action,
        }  # fmt: skip
    false = [f"{one.scope} {one.resource} {one.urgency}" for one in seen.false()]
    late = {node: days for node, days in ahead.items() if days < LEAD_DAYS}
    return {
        "rollups": dict(seen.rollups),
        "forecasts": seen.forecasts,
        "alerts": alerts,
        "false_alerts": len(false),
        "false_alerts_of": false,
        "divergence_alerts": sum(one.reason == "divergence" for one in seen.alerts),
        "steady_nodes": len(seen.nodes) - len(seen.exhausted),
        "events_in": stage.audit.events_in,
        "timeline": described(stage.timeline),
        "not_shown": f"URGENT came {late} days ahead only" if late else f"false alerts: {false}" if false else "",
    }
