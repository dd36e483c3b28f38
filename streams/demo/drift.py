"""Scenario `drift`: the relation between features and the best algorithm changes, and the models follow.

A codec is in force whose effort depends on what is sent and how large it is, which the
online model cannot express and a trained one can. The sidecar trains one and promotes it. Then another codec
replaces it that is quick where the first was slow: the champion is now wrong by what it learned.
"""

from __future__ import annotations

from typing import Any, Final

from streams.demo.life import Life
from streams.demo.plot import draw_accuracy
from streams.demo.scenario import Asked
from streams.demo.stage import Stage
from streams.demo.timeline import described

CODEC: Final = 6.0
OTHER: Final = 1.0 / CODEC**2
"""On top of the first: together it is quick where that was slow."""

PERIOD: Final = 3_000
"""Decisions of a champion that are scored before the scenario goes on."""

FALL: Final = 0.03
SPEED: Final = 60
BUCKET_MS: Final = 3 * 60_000


def play(stage: Stage, asked: Asked) -> dict[str, Any]:
    """Play it; the summary."""
    life = Life(stage)
    course = life.course
    stage.start_worker()
    stage.start_fleet("offline.simulator.regime", "--seed", str(asked.seed), "--codec", str(CODEC),
                      "--speed", str(asked.speed or SPEED))  # fmt: skip
    first = life.raise_champion()
    began_ms = course.newest_ms  # partitions differ in how far they are: from here on all ask the champion
    stage.watch(lambda: course.scored_since(began_ms) > PERIOD, f"{PERIOD} decisions of the champion")
    drifted: list[int] = []
    stage.hears["drift"] = lambda said: drifted.append(said["time_ms"])
    stage.tell(do="drift", magnitude=OTHER)
    stage.watch(lambda: drifted, "drift")
    drift_ms = drifted[0]
    stage.timeline.note("drift", "another codec is in force on every host", drift_ms)
    stage.watch(lambda: any(one.timestamp >= drift_ms and one.level == "alert" for one in life.drifts), "drift alert")
    stage.watch(lambda: life.champions[-1] != first and life.champions[-1] in course.decided, "retrained champion")
    back_ms = course.newest_ms
    stage.watch(lambda: course.scored_since(back_ms) > PERIOD, f"{PERIOD} decisions of the retrained champion")
    lost = stage.end()
    if asked.plot is not None:
        draw_accuracy(asked.plot, course.buckets(BUCKET_MS), stage.timeline.happened, drift_ms, back_ms)
    return _summary(stage, life, (began_ms, drift_ms, back_ms), lost)


def _summary(stage: Stage, life: Life, turns_ms: tuple[int, int, int], lost: int) -> dict[str, Any]:
    """What happened, by when the champion, the drift and the next champion began."""
    course, (began_ms, drift_ms, back_ms) = life.course, turns_ms
    accuracy = {
        "before": course.period(began_ms, drift_ms),
        "during": course.period(drift_ms, back_ms),
        "after": course.period(back_ms, course.newest_ms + 1),
    }
    lowest = [b.accuracy for b in course.buckets(BUCKET_MS) if drift_ms <= b.event_ms < back_ms]
    accuracy["during"]["lowest"] = min(lowest, default=None)
    alerts = [one.timestamp for one in life.drifts if one.level == "alert"]
    later = [at_ms for at_ms in alerts if at_ms >= drift_ms]
    return {
        "drift_alerts": len(later),
        "drift_alerts_before": len(alerts) - len(later),
        "retrainings": stage.timeline.count("retraining"),
        "promotions": stage.timeline.count("promotion"),
        "rollbacks": stage.timeline.count("taken back"),
        "accuracy": accuracy,
        "alert_after_s": (min(later) - drift_ms) / 1000,
        "recovered_after_s": (back_ms - drift_ms) / 1000,
        "lost": lost,
        "events_in": stage.audit.events_in,
        "timeline": described(stage.timeline),
        "not_shown": _missing(accuracy),
    }


def _missing(accuracy: dict[str, dict[str, Any]]) -> str:
    """What did not happen; empty when accuracy fell and recovered."""
    before, during, after = (accuracy[name]["accuracy"] for name in ("before", "during", "after"))
    if not before - during > FALL:
        return f"accuracy was {before:.3f} and fell to {during:.3f} only"
    bars = {name: accuracy["after"][name] for name in ("majority", "heuristic")}
    if not after - during > FALL or after <= max(bars.values()):
        return f"accuracy recovered from {during:.3f} to {after:.3f} only, beside {bars}"
    return ""
