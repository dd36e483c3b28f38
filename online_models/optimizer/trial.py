"""A change tried on nodes: those with it against those without, minute by minute, and what it is worth in the end."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.experiment import rollout as course
from online_models.optimizer.prior import PERFORMANCE
from online_models.optimizer.space import GROUPS
from online_models.optimizer.tuner import affordable, limits_of, progress_of, remember
from online_models.optimizer.watch import CPU, MEMORY, cost_of, group_levels, performance_of

MINUTE_MS: Final = 60_000

LEAST_MINUTES: Final = 30
"""Of a node's history before it counts."""


def begin(tuner: Any, rows: NDArray[Any], group: int, setting: int, values: NDArray[Any], now_ms: int) -> course.Moment:
    """Begin to roll out values, `[9]`, of which those of one system are new."""
    tuner["group"], tuner["chosen"], tuner["proposed"] = group, setting, values
    tuner["effect"] = tuner["dearer"] = 0.0
    rows["before"] = _worth(rows["slow"])
    return course.begin(tuner["rollout"], now_ms)


def go_on(tuner: Any, rows: NDArray[Any], now_ms: int) -> course.Moment | None:
    """A minute of the rollout; what happened, if anything did. In the end it is a trial, whatever became of it."""
    rollout = tuner["rollout"]
    treated = course.share_treated(course.ROLLOUT_STAGES_PCT[int(rollout["stage"])], rows["digest"])
    minute = _compare(tuner, rows, treated, now_ms)
    test, dearer = course.judge_stage(rollout), course.judge_stage(rollout, course.COST)
    moment = course.take_minute(rollout, minute, now_ms)
    if moment is None:
        return None
    test, dearer = moment.test or test, moment.cost or dearer
    if test is not None and dearer is not None:
        tuner["effect"], tuner["dearer"] = test.effect, dearer.effect
    if moment.status in ("completed", "rolled_back"):
        _finish(tuner, rows, treated, moment.status == "completed", now_ms)
    return moment


def _compare(tuner: Any, rows: NDArray[Any], treated: NDArray[np.bool_], now_ms: int) -> course.Minute:
    """Nodes' last minute against their own past, those with the new values and those without."""
    known = (rows["minutes"] >= LEAST_MINUTES) & (rows["last_n"] > 0)
    change = _worth(rows["last"]) - rows["before"]
    with_it, without = known & treated, known & ~treated
    both = with_it.any() and without.any()
    # A node takes what it was told some time to follow; its first minute is not counted.
    settled = now_ms - int(tuner["rollout"]["stage_begun"]) > MINUTE_MS
    off = change[with_it].mean(axis=0) - change[without].mean(axis=0) if both and settled else np.full(2, np.nan)
    cpu, memory = (float(rows["last"][with_it, k].mean()) if with_it.any() else 0.0 for k in (CPU, MEMORY))
    control, samples = (int(rows["last_n"][side].sum()) for side in (without, with_it))
    limits, effect, cost = limits_of(tuner), float(off[course.EFFECT]), float(off[course.COST])
    return course.Minute(
        effect, control, samples, cost, affordable(tuner), cpu, memory, limits.cpu_pct, limits.memory_pct
    )


def _finish(tuner: Any, rows: NDArray[Any], treated: NDArray[np.bool_], completed: bool, now_ms: int) -> None:
    """Keep the new parameters or the old ones, and note what the new ones did as a trial."""
    group, effect = int(tuner["group"]), float(tuner["effect"])
    best = progress_of(tuner, now_ms).best
    if (rows["minutes"][treated] > 0).any():
        seen = group_levels(rows[treated])[group]
        # Against the trial of the old ones, because hours lie between. Performance is the mean of all three
        # systems, of which one was changed.
        before = tuner["seen"][group, int(tuner["trials"][group]) - 1, PERFORMANCE]
        seen[PERFORMANCE] = before + len(GROUPS) * effect
        remember(tuner, group, int(tuner["chosen"]), seen)
    tuner["tried"] += 1
    tuner["since_best"] = 0 if progress_of(tuner, now_ms).best > best else tuner["since_best"] + 1
    tuner["reward"] = effect - max(float(tuner["dearer"]), 0.0)
    if completed:
        tuner["values"] = tuner["proposed"]
        tuner["changed"] = now_ms
        tuner["spent"] += tuner["dearer"]
    tuner["rested"] = now_ms
    rows["base"] = rows["slow"]


def _worth(levels: NDArray[Any]) -> NDArray[np.float64]:
    """Performance and cost, `[node, 2]`, in the order of a rollout's sums."""
    return np.stack([performance_of(levels), cost_of(levels)], axis=-1)
