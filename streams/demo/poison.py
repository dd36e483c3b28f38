"""Scenario `poison`: versions that nobody should serve are announced beside a good champion, and none does harm.

Four candidates are refused by the worker when it is their turn; two are quick and right on everything that can be
looked at before, and are given up for what they do live. One that says the opposite and whose golden vectors agree, and
one that answers what comes with no number, are made champion by force, and taken back.
"""

from __future__ import annotations

from typing import Any, Final

from streams.demo.life import Life
from streams.demo.plot import draw_accuracy
from streams.demo.scenario import Asked
from streams.demo.stage import Stage
from streams.demo.timeline import described

REFUSED: Final = {
    "nan": "golden", "features": "features", "tampered": "hash", "slow": "slow", "wild_live": "answer",
    "slow_live": "slow",
}  # fmt: skip
"""Kinds of `offline.simulator.poison`, and the reason that each is to be refused for."""

WORSE: Final = "worse"
SILENT: Final = "nan_live"
_REASONS: Final = REFUSED | {SILENT: "answer"}
SPEED: Final = 60
PERIOD: Final = 1_500
BUCKET_MS: Final = 2 * 60_000

_MAKER: Final = "offline.simulator.poison"


def play(stage: Stage, asked: Asked) -> dict[str, Any]:
    """Play it; the summary."""
    life = Life(stage)
    course = life.course
    stage.start_worker()
    stage.start_fleet("offline.simulator.regime", "--seed", str(asked.seed), "--speed", str(asked.speed or SPEED))
    good = life.raise_champion()
    began_ms = course.newest_ms
    stage.run(_MAKER, "--of", good, *REFUSED)
    stage.watch(lambda: all(life.at(kind) == "held" for kind in REFUSED), "poisoned candidates that are held")
    before_ms = course.newest_ms
    stage.run(_MAKER, "--of", good, "--force", WORSE)
    stage.watch(lambda: life.at(WORSE) == "held" and life.at(good) == "champion", "rollback of the worse champion")
    back_ms = course.newest_ms
    stage.run(_MAKER, "--of", good, "--force", SILENT)
    stage.watch(lambda: life.at(SILENT) == "held" and life.at(good) == "champion", "rollback of the silent champion")
    again_ms = course.newest_ms
    stage.watch(lambda: course.scored_since(again_ms + 60_000) > PERIOD, "decisions after the rollbacks")
    lost = stage.end()
    if asked.plot is not None:
        draw_accuracy(asked.plot, course.buckets(BUCKET_MS), stage.timeline.happened, before_ms, back_ms)
    periods = {
        "before": course.period(began_ms, before_ms),
        "with_worse": course.period(before_ms, back_ms),
        "with_silent": course.period(back_ms, again_ms),
        "after": course.period(again_ms + 60_000, course.newest_ms + 1),
    }
    return {"champion": good, "accuracy": periods, "lost": lost} | _summary(stage, life)


def _summary(stage: Stage, life: Life) -> dict[str, Any]:
    """What became of the bad versions."""
    said = {one.model_version: {"reason": one.reason, "message": one.message} for one in life.rejections}
    course = life.course
    harm = [row for row in course.rows if row.version == WORSE]
    wrong = {kind: one["reason"] for kind, one in said.items() if one["reason"] != _REASONS.get(kind)}
    served = set(course.decided) & set(_REASONS)
    missing = {
        f"refused for another reason: {wrong}": bool(wrong),
        f"{served} decided something": bool(served),
        "the worse champion decided nothing": not harm,
        f"{SILENT} was not asked, or what it did not answer did not fall back": not course.failed,
        f"{course.impossible} published decisions had an impossible probability": bool(course.impossible),
    }
    accuracy = sum(row.right for row in harm) / len(harm) if harm else None
    taken_back = {"reason": life.stages[WORSE].reason, "decisions": len(harm), "accuracy": accuracy}
    reason, decisions = life.stages[SILENT].reason, course.decided.get(SILENT, 0)
    silent = {"reason": reason, "decisions": decisions, "fell_back": course.failed}
    return {
        "refused": said,
        "rolled_back": {WORSE: taken_back, SILENT: silent},
        "impossible": course.impossible,
        "events_in": stage.audit.events_in,
        "timeline": described(stage.timeline),
        "not_shown": "; ".join(text for text, so in missing.items() if so),
    }
