"""Scenario `tuning`: parameters are recommended, rolled out node by node, and kept or taken back for what they do.

The nodes obey what was measured of the parameters. The first rollout that completes must have made the nodes with
the new values faster than those without; then a build that is slower by half goes out with the next one, which the
optimizer knows nothing of, and takes back.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
from msgspec.json import Decoder
from numpy.typing import NDArray
from scipy.special import stdtrit

from schemas.optimizer import (
    PARAMETERS,
    ROLLOUT_STAGES_PCT,
    SCOPE,
    OptimizerRecommendation,
    OptimizerRequest,
    OptimizerRollout,
)
from schemas.topic import (
    DEAD_LETTER,
    LATE,
    OPTIMIZER_RECOMMENDATION,
    OPTIMIZER_REQUEST,
    OPTIMIZER_ROLLOUT,
    SYSTEM_KEYED,
    SYSTEM_RAW,
    SYSTEM_SCORE,
)
from streams.demo.plot import draw_tuning
from streams.demo.scenario import Asked
from streams.demo.stage import Stage
from streams.demo.timeline import described
from streams.sink import KafkaSink

TOPICS: Final = (
    SYSTEM_RAW, SYSTEM_KEYED, SYSTEM_SCORE, OPTIMIZER_RECOMMENDATION, OPTIMIZER_ROLLOUT, DEAD_LETTER, LATE
)  # fmt: skip
SPEED: Final = 120
NODES: Final = 24
MINUTE_MS: Final = 60_000
BEFORE_MS: Final = 25 * MINUTE_MS
"""What a rollout is held against: that long before it began."""

COMPARED: Final = 50
"""The stage, in %, in which the nodes with the new values are compared with the others."""

DEFAULTS: Final = (5.0, 16_384.0, 524_288.0, 30.0, 0.85, 10.0, 2000.0, 25.0, 7.0)
"""In force at the beginning, in the order of `PARAMETERS`; the product's documents have them."""

_NAMES: Final = tuple(p.name for p in PARAMETERS)


class Sample(msgspec.Struct):
    """The part of a node's metrics that is compared."""

    timestamp: int
    node_id: str
    latency_mean: float
    throughput_mean: float


class Tuned:
    """What the topics say of the nodes and of what is rolled out to them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.recommendations: list[OptimizerRecommendation] = []
        self.rollouts: list[OptimizerRollout] = []
        self.applied: list[dict[str, Any]] = []
        self.nodes: list[str] = []
        self.minutes: dict[str, dict[int, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        self.values: dict[str, float] = dict(zip(map(str, _NAMES), DEFAULTS, strict=True))
        self._asked = 0
        self._recommendation = Decoder(OptimizerRecommendation).decode
        self._rollout = Decoder(OptimizerRollout).decode
        self._sample = Decoder(Sample).decode
        stage.hears |= {"plan": self._planned, "applied": self._applied}
        stage.open(
            TOPICS,
            {
                OPTIMIZER_RECOMMENDATION: self._recommended, OPTIMIZER_ROLLOUT: self._rolled,
                SYSTEM_KEYED: self._measured,
            },
        )  # fmt: skip
        stage.progress = lambda: (
            f"{stage.audit.events_in:,} records, {len(self.recommendations)} recommendations, "
            f"{len(self.rollouts)} steps of rollouts"
        )

    def ask(self) -> None:
        """Send a request with the parameters in force."""
        self._asked += 1
        settings = self._stage.settings
        at_ms = self._stage.event_ms or time.time_ns() // 1_000_000
        request = OptimizerRequest(f"demo-{self._asked}", at_ms, SCOPE, {**self.values}, requested_by="demo")
        sink = KafkaSink(settings.bootstrap)
        sink.send(settings.name_of(OPTIMIZER_REQUEST), [None], [msgspec.json.encode(request)], [0])
        sink.close()
        self._stage.timeline.note("request", f"{request.request_id}: what would do better?", self._stage.event_ms)

    def ended(self, status: str) -> list[OptimizerRollout]:
        """Rollouts that ended so."""
        return [one for one in self.rollouts if one.status == status]

    def faster(self) -> list[OptimizerRollout]:
        """Completed rollouts of what latency depends on: of forecasts it does not."""
        return [one for one in self.ended("completed") if not all(c.parameter.startswith("pba_") for c in one.changes)]

    def effect(self, rollout: OptimizerRollout, at: int, stage_pct: int = COMPARED) -> dict[str, Any] | None:
        """What the nodes with new values gained against the others, in percent, with a 95 % interval.

        Each node is held against itself before the rollout, and then the mean of the nodes with the new values
        against that of the others, as logarithms; Welch's interval over nodes. None without nodes on both sides.

        Parameters
        ----------
        rollout
            Any record of it.
        at
            0 for latency, 1 for throughput.
        stage_pct
            The stage that is looked at.
        """
        steps = [one for one in self.applied if one["rollout_id"] == rollout.rollout_id]
        begun = next((one for one in steps if one["status"] == "running"), None)
        entered = next((s for s in steps if _led_to(s) == stage_pct), None)
        if begun is None or entered is None:
            return None
        left = next((s["time_ms"] for s in steps if s["time_ms"] > entered["time_ms"]), self._stage.event_ms)
        own = {one for one in self.nodes if self.minutes[one]}
        change = {node: self._change(node, at, begun["time_ms"], entered["time_ms"], int(left or 0)) for node in own}
        known = {node: value for node, value in change.items() if np.isfinite(value)}
        treated = np.array([value for node, value in known.items() if node in entered["treated"]])
        others = np.array([value for node, value in known.items() if node not in entered["treated"]])
        return _compared(treated, others)

    def _change(self, node: str, at: int, begun_ms: int, from_ms: int, to_ms: int) -> float:
        """Mean logarithm in the stage less that before the rollout; NaN where one is missing."""
        minutes = self.minutes[node]
        before, after = (
            [np.log(np.mean([s[at] for s in found])) for minute, found in minutes.items() if low <= minute < high]
            for low, high in ((begun_ms - BEFORE_MS, begun_ms), (from_ms + MINUTE_MS, to_ms))
        )
        return float(np.mean(after) - np.mean(before)) if before and after else float("nan")

    def _planned(self, said: dict[str, Any]) -> None:
        self.nodes = said["nodes"]

    def _applied(self, said: dict[str, Any]) -> None:
        self.applied.append(said)
        share = f"{len(said['treated'])} of {len(self.nodes)} nodes"
        self._stage.timeline.note("applied", f"{said['rollout_id']}: new values on {share}", said["time_ms"])

    def _recommended(self, value: bytes) -> None:
        one = self._recommendation(value)
        self.recommendations.append(one)
        changes = ", ".join(f"{c.parameter} {c.before:g} to {c.after:g}" for c in one.changes) or "nothing better known"
        self._stage.timeline.note("recommendation", f"{one.scope}: {changes}", one.timestamp)

    def _rolled(self, value: bytes) -> None:
        one = self._rollout(value)
        self.rollouts.append(one)
        if one.status == "completed":
            self.values |= {c.parameter: c.after for c in one.changes}
        said = f"{one.rollout_id} at {one.stage_pct} %: {one.reason}"
        self._stage.timeline.note(one.status.replace("_", " "), said, one.timestamp)

    def _measured(self, value: bytes) -> None:
        one = self._sample(value)
        minute = one.timestamp // MINUTE_MS * MINUTE_MS
        self.minutes[one.node_id][minute].append((one.latency_mean, one.throughput_mean))


def play(stage: Stage, asked: Asked) -> dict[str, Any]:
    """Play it; the summary."""
    tuned = Tuned(stage)
    stage.start_worker()
    stage.start_fleet(
        "offline.simulator.tuned", "--seed", str(asked.seed), "--speed", str(asked.speed or SPEED),
        "--nodes", str(asked.nodes or NODES),
    )  # fmt: skip
    stage.watch(lambda: tuned.minutes, "first records")
    tuned.ask()
    _wait(stage, tuned, lambda: tuned.faster(), "rollout that made transfers or consensus faster")
    good = tuned.faster()[0]
    stage.watch(lambda: tuned.applied[-1]["status"] == "completed", "fleet that has the new values")
    stage.tell(do="break")
    stage.timeline.note("break", "a build that is slower by half goes out with the next rollout", stage.event_ms)
    before = len(tuned.ended("rolled_back"))
    tuned.ask()
    _wait(stage, tuned, lambda: len(tuned.ended("rolled_back")) > before, "rollout that is taken back")
    bad = tuned.ended("rolled_back")[-1]
    stage.watch(lambda: tuned.applied[-1]["status"] == "rolled_back", "fleet that has its old values again")
    lost = stage.end()
    if asked.plot is not None:
        draw_tuning(asked.plot, tuned.minutes, tuned.applied, tuned.rollouts)
    return _summary(stage, tuned, good, bad) | {"lost": lost}


def _summary(stage: Stage, tuned: Tuned, good: OptimizerRollout, bad: OptimizerRollout) -> dict[str, Any]:
    """What was recommended, what became of it, and what it was worth."""
    improvement = {"latency": tuned.effect(good, 0), "throughput": tuned.effect(good, 1)}
    first_ms = min(min(found) for found in tuned.minutes.values())
    steps = [
        {"rollout_id": one.rollout_id, "status": one.status, "stage_pct": one.stage_pct, "reason": one.reason,
         "effect_pct": one.effect_pct, "cost_effect_pct": one.cost_effect_pct, "p_value": one.p_value}
        for one in tuned.rollouts
    ]  # fmt: skip
    return {
        "recommendations": [_described(one) for one in tuned.recommendations],
        "rollouts": steps,
        "completed": len(tuned.ended("completed")),
        "rollbacks": len(tuned.ended("rolled_back")),
        "improvement_pct": improvement,
        "bad": {"latency": tuned.effect(bad, 0, bad.stage_pct), "reason": bad.reason},
        "baseline": _level(tuned, first_ms, first_ms + BEFORE_MS),
        "completed_level": _level(tuned, good.timestamp - BEFORE_MS, good.timestamp),
        "events_in": stage.audit.events_in,
        "timeline": described(stage.timeline),
        "not_shown": _missing(improvement),
    }


def _wait(stage: Stage, tuned: Tuned, until: Callable[[], object], what: str) -> None:
    """Until something holds; asks again when a rollout ended before, or nothing better was known."""
    while not until():
        before = _answered(tuned)
        stage.watch(lambda before=before: until() or _answered(tuned) > before, what)  # type: ignore[misc]
        if not until():
            tuned.ask()


def _answered(tuned: Tuned) -> int:
    """Requests that came to their end."""
    idle = sum(not one.changes for one in tuned.recommendations)
    return idle + len(tuned.ended("completed")) + len(tuned.ended("rolled_back"))


def _missing(improvement: dict[str, dict[str, Any] | None]) -> str:
    latency, throughput = improvement["latency"], improvement["throughput"]
    if latency is None or throughput is None:
        return "no stage had nodes with and without the new values"
    if latency["upper"] >= 0.0 or throughput["lower"] <= 0.0:
        return f"no certain improvement: latency {latency}, throughput {throughput}"
    return ""


def _compared(treated: NDArray[np.float64], others: NDArray[np.float64]) -> dict[str, Any] | None:
    if len(treated) < 1 or len(others) < 2:
        return None
    # One node shows no spread of its own: it is taken to spread as the others do.
    known = [side if len(side) > 1 else others for side in (treated, others)]
    spread = [of.var(ddof=1) / len(side) for side, of in zip((treated, others), known, strict=True)]
    error = float(np.sqrt(sum(spread)))
    weights = [s * s / (len(of) - 1) for s, of in zip(spread, known, strict=True)]
    reach = float(stdtrit(sum(spread) ** 2 / sum(weights), 0.975)) * error
    effect = float(treated.mean() - others.mean())
    low, middle, high = (100.0 * float(np.expm1(effect + off)) for off in (-reach, 0.0, reach))
    return {"mean": middle, "lower": low, "upper": high, "nodes": len(treated), "held_back": len(others)}


def _level(tuned: Tuned, from_ms: int, to_ms: int) -> dict[str, float]:
    """Mean latency and throughput of all nodes in a stretch of time."""
    found = [s for own in tuned.minutes.values() for at, some in own.items() if from_ms <= at < to_ms for s in some]
    latency, throughput = np.mean(found, axis=0) if found else (np.nan, np.nan)
    return {"latency_ms": float(latency), "throughput_rps": float(throughput)}


def _described(one: OptimizerRecommendation) -> dict[str, Any]:
    changes = {c.parameter: [c.before, c.after] for c in one.changes}
    return {
        "scope": one.scope, "trigger": one.trigger, "changes": changes, "expected_pct": one.improvement_pct,
        "confidence": one.confidence,
    }  # fmt: skip


def _led_to(applied: dict[str, Any]) -> int:
    """The stage that an applied record led to; 0 of one that ended a rollout."""
    if applied["status"] == "running":
        return ROLLOUT_STAGES_PCT[0]
    if applied["status"] != "advanced":
        return 0
    return ROLLOUT_STAGES_PCT[ROLLOUT_STAGES_PCT.index(applied["stage"]) + 1]
