"""A rollout's course: 5, 25, 50, 100 % of a scope's nodes, each stage on a test, back at the first sign of harm.

Pure: where a rollout stands and one minute's comparison, to where it stands then. A minute's
effect is the treated nodes' mean change against their own past, less that of the others, in
logarithms of performance: what hits all nodes alike drops out. Minutes resemble their
neighbours, so the test reckons with as many as they are worth (their first autocorrelation).

Each stage is looked at four times, and its level of 0.001 is shared by the looks; harm is looked
for at 0.05, shared likewise, because stopping late costs more than stopping in vain.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from online_models.slot import row_dtype
from schemas.optimizer import MAX_CPU_PCT, MAX_MEMORY_PCT, ROLLOUT_STAGES_PCT, SIGNIFICANCE_LEVEL, RolloutStatus

MINUTE_MS: Final = 60_000
LOOKS: Final = 4
LOOK_MINUTES: Final = 15
HARM_LEVEL: Final = 0.05

LEAST_MINUTES: Final = 10
"""Before a test says anything."""

_LAST: Final = len(ROLLOUT_STAGES_PCT) - 1

NONE: Final = 0
RUNNING: Final = 1

ROLLOUT: Final = row_dtype(
    ("status", "i8"), ("stage", "i8"), ("begun", "i8"), ("stage_begun", "i8"), ("looks", "i8"), ("number", "i8"),
    ("minutes", "i8"), ("control", "i8"), ("treated", "i8"), ("total", "f8"), ("square", "f8"), ("product", "f8"),
    ("last", "f8"),
)  # fmt: skip
"""Where a rollout stands; sums are of the stage's minutes. `product` is of each minute and the one before."""


class Minute(NamedTuple):
    """One minute of a rollout.

    Parameters
    ----------
    effect
        Treated nodes' change less the others', as a logarithm; NaN when one side was silent.
    control, treated
        Samples on each side.
    cpu_pct, memory_pct
        Means of the treated nodes.
    max_cpu_pct, max_memory_pct
        Their limits.
    """

    effect: float
    control: int
    treated: int
    cpu_pct: float = 0.0
    memory_pct: float = 0.0
    max_cpu_pct: float = MAX_CPU_PCT
    max_memory_pct: float = MAX_MEMORY_PCT


class Finding(NamedTuple):
    """The stage's mean effect as a logarithm, its standard error, and one-sided p-values of gain and harm."""

    effect: float
    error: float
    p_gain: float
    p_harm: float


class Moment(NamedTuple):
    """What happened: a status, the stage it happened in with its samples so far, and why."""

    status: RolloutStatus
    stage_pct: int
    stage_started_at: int
    control: int
    treated: int
    reason: str
    test: Finding | None


def begin(rollout: Any, now_ms: int) -> Moment:
    """Start with the first stage."""
    number = rollout["number"] + 1
    for name in ROLLOUT.names or ():
        rollout[name] = 0
    rollout["status"], rollout["number"] = RUNNING, number
    rollout["begun"] = rollout["stage_begun"] = now_ms
    return _moment(rollout, "running", "begun", None)


def take_minute(rollout: Any, minute: Minute, now_ms: int) -> Moment | None:
    """Take a minute in; what follows from it, if anything does."""
    if rollout["status"] != RUNNING:
        return None
    _add(rollout, minute)
    stage = int(rollout["stage"])
    over = _limit_broken(minute)
    if over:
        return _end(rollout, "rolled_back", f"treated nodes are over a limit: {over}", None)
    if stage == _LAST:
        # No node is left to compare with; the stages before it compared, limits go on being watched.
        held = now_ms - int(rollout["stage_begun"])
        return _end(rollout, "completed", "held at 100 %", None) if held >= LOOKS * LOOK_MINUTES * MINUTE_MS else None
    due = (int(rollout["looks"]) + 1) * LOOK_MINUTES
    if now_ms - int(rollout["stage_begun"]) < due * MINUTE_MS:
        return None
    rollout["looks"] += 1
    return _look(rollout, now_ms)


def stop(rollout: Any, reason: str) -> Moment | None:
    """End it, whatever it showed; None when none runs."""
    return _end(rollout, "rolled_back", reason, judge_stage(rollout)) if rollout["status"] == RUNNING else None


def judge_stage(rollout: Any) -> Finding | None:
    """The test of the stage so far; None before there are ten minutes of both sides."""
    n = int(rollout["minutes"])
    if n < LEAST_MINUTES:
        return None
    mean = float(rollout["total"]) / n
    spread = max(float(rollout["square"]) / n - mean * mean, 1e-12)
    alike = float(rollout["product"]) / (n - 1) - mean * mean
    rho = min(max(alike / spread, 0.0), 0.95)
    worth = max(n * (1.0 - rho) / (1.0 + rho), 2.0)
    error = float(np.sqrt(spread / worth * worth / (worth - 1.0)))
    z = mean / error
    return Finding(mean, error, float(ndtr(-z)), float(ndtr(z)))


def share_treated(stage_pct: int, digests: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Which nodes have the new parameters at a stage: those with the smallest hashes, at least one, `[n]`.

    A later stage keeps the nodes of the one before it.
    """
    count = max(1, round(len(digests) * stage_pct / 100.0))
    found = np.zeros(len(digests), np.bool_)
    found[np.argsort(digests, kind="stable")[:count]] = True
    return found


def effect_pct(test: Finding | None) -> tuple[float | None, float | None, float | None, float | None]:
    """Effect and 95 % interval in percent, and the p-value; all None without a test."""
    if test is None:
        return None, None, None, None
    reach = float(ndtri(0.975)) * test.error
    low, middle, high = (100.0 * float(np.expm1(min(test.effect + off, 50.0))) for off in (-reach, 0.0, reach))
    return middle, low, high, test.p_gain


def _look(rollout: Any, now_ms: int) -> Moment | None:
    test = judge_stage(rollout)
    last = rollout["looks"] >= LOOKS
    if test is None:
        return _end(rollout, "rolled_back", "too few minutes with nodes on both sides", None) if last else None
    if test.p_harm < HARM_LEVEL / LOOKS:
        return _end(rollout, "rolled_back", f"performance {100 * np.expm1(test.effect):+.1f} %", test)
    if test.p_gain < SIGNIFICANCE_LEVEL / LOOKS:
        moment = _moment(rollout, "advanced", f"performance {100 * np.expm1(test.effect):+.1f} %", test)
        for name in ("looks", "minutes", "control", "treated", "total", "square", "product", "last"):
            rollout[name] = 0
        rollout["stage"], rollout["stage_begun"] = rollout["stage"] + 1, now_ms
        return moment
    if last:
        return _end(rollout, "rolled_back", "no gain shown in time", test)
    return None


def _add(rollout: Any, minute: Minute) -> None:
    rollout["control"] += minute.control
    rollout["treated"] += minute.treated
    if not np.isfinite(minute.effect):
        return
    if rollout["minutes"]:
        rollout["product"] += minute.effect * rollout["last"]
    rollout["last"] = minute.effect
    rollout["minutes"] += 1
    rollout["total"] += minute.effect
    rollout["square"] += minute.effect**2


def _limit_broken(minute: Minute) -> str:
    for name, value, limit in (
        ("cpu", minute.cpu_pct, minute.max_cpu_pct),
        ("memory", minute.memory_pct, minute.max_memory_pct),
    ):
        if value > limit:
            return f"{name} {value:.0f} % > {limit:.0f} %"
    return ""


def _end(rollout: Any, status: RolloutStatus, reason: str, test: Finding | None) -> Moment:
    rollout["status"] = NONE
    return _moment(rollout, status, reason, test)


def _moment(rollout: Any, status: RolloutStatus, reason: str, test: Finding | None) -> Moment:
    stage = ROLLOUT_STAGES_PCT[int(rollout["stage"])]
    begun, control, treated = (int(rollout[name]) for name in ("stage_begun", "control", "treated"))
    return Moment(status, stage, begun, control, treated, reason, test)
