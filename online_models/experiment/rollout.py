"""A rollout's course: 5, 25, 50, 100 % of a scope's nodes, each stage on a test, back at the first sign of harm.

Pure: where a rollout stands and one minute's comparison, to where it stands then. A minute's
effect is the treated nodes' mean change against their own past, less that of the others, in
logarithms of performance: what hits all nodes alike drops out. Minutes resemble their
neighbours, so the test reckons with as many as they are worth (their first autocorrelation).

Each stage is looked at four times, and its level of 0.001 is shared by the looks; harm is looked
for at 0.05, shared likewise, because stopping late costs more than stopping in vain. What the change costs is
compared in the same way: a rollout ends when it is dearer for that certain, and by more than is allowed as far as is
known; and no stage passes while it seems to be.
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
    ("minutes", "i8"), ("control", "i8"), ("treated", "i8"), ("total", "f8", (2,)), ("square", "f8", (2,)),
    ("product", "f8", (2,)), ("last", "f8", (2,)),
)  # fmt: skip
"""Where a rollout stands; sums are of the stage's minutes, of performance and of cost. `product` is of each minute
and the one before."""

EFFECT: Final = 0
COST: Final = 1


class Minute(NamedTuple):
    """One minute of a rollout.

    Parameters
    ----------
    effect
        Treated nodes' change less the others', as a logarithm; NaN when one side was silent.
    control, treated
        Samples on each side.
    cost
        The same of what they cost.
    max_cost
        How much more that may be.
    cpu_pct, memory_pct
        Means of the treated nodes.
    max_cpu_pct, max_memory_pct
        Their limits.
    """

    effect: float
    control: int
    treated: int
    cost: float = 0.0
    max_cost: float = float("inf")
    cpu_pct: float = 0.0
    memory_pct: float = 0.0
    max_cpu_pct: float = MAX_CPU_PCT
    max_memory_pct: float = MAX_MEMORY_PCT


class Finding(NamedTuple):
    """The stage's mean effect as a logarithm, its standard error, and one-sided p-values of a rise and a fall."""

    effect: float
    error: float
    p_rise: float
    p_fall: float


class Moment(NamedTuple):
    """What happened: a status, the stage it happened in with its samples so far, and why."""

    status: RolloutStatus
    stage_pct: int
    stage_started_at: int
    control: int
    treated: int
    reason: str
    test: Finding | None
    cost: Finding | None


def begin(rollout: Any, now_ms: int) -> Moment:
    """Start with the first stage."""
    number = rollout["number"] + 1
    for name in ROLLOUT.names or ():
        rollout[name] = 0
    rollout["status"], rollout["number"] = RUNNING, number
    rollout["begun"] = rollout["stage_begun"] = now_ms
    return _moment(rollout, "running", "begun")


def take_minute(rollout: Any, minute: Minute, now_ms: int) -> Moment | None:
    """Take a minute in; what follows from it, if anything does."""
    if rollout["status"] != RUNNING:
        return None
    _add(rollout, minute)
    stage = int(rollout["stage"])
    over = _limit_broken(minute)
    if over:
        return _end(rollout, "rolled_back", f"treated nodes are over a limit: {over}")
    if stage == _LAST:
        # No node is left to compare with; the stages before it compared, limits go on being watched.
        held = now_ms - int(rollout["stage_begun"])
        return _end(rollout, "completed", "held at 100 %") if held >= LOOKS * LOOK_MINUTES * MINUTE_MS else None
    due = (int(rollout["looks"]) + 1) * LOOK_MINUTES
    if now_ms - int(rollout["stage_begun"]) < due * MINUTE_MS:
        return None
    rollout["looks"] += 1
    return _look(rollout, minute.max_cost, now_ms)


def stop(rollout: Any, reason: str) -> Moment | None:
    """End it, whatever it showed; None when none runs."""
    if rollout["status"] != RUNNING:
        return None
    return _end(rollout, "rolled_back", reason, judge_stage(rollout), judge_stage(rollout, COST))


def judge_stage(rollout: Any, of: int = EFFECT) -> Finding | None:
    """The test of the stage so far, of performance or of `COST`; None before there are ten minutes of both sides."""
    n = int(rollout["minutes"])
    if n < LEAST_MINUTES:
        return None
    mean = float(rollout["total"][of]) / n
    spread = max(float(rollout["square"][of]) / n - mean * mean, 1e-12)
    alike = float(rollout["product"][of]) / (n - 1) - mean * mean
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
    return middle, low, high, test.p_rise


def _look(rollout: Any, max_cost: float, now_ms: int) -> Moment | None:
    test, dearer = judge_stage(rollout), judge_stage(rollout, COST)
    last = rollout["looks"] >= LOOKS
    if test is None or dearer is None:
        return _end(rollout, "rolled_back", "too few minutes with nodes on both sides") if last else None
    if test.p_fall < HARM_LEVEL / LOOKS:
        return _end(rollout, "rolled_back", f"performance {100 * np.expm1(test.effect):+.1f} %", test, dearer)
    affordable = dearer.effect <= max_cost
    cost = f"cost {100 * np.expm1(dearer.effect):+.1f} % > {100 * np.expm1(max_cost):+.1f} %"
    if not affordable and dearer.p_rise < HARM_LEVEL / LOOKS:
        return _end(rollout, "rolled_back", f"treated nodes are over a limit: {cost}", test, dearer)
    if test.p_rise < SIGNIFICANCE_LEVEL / LOOKS and affordable:
        reason = f"performance {100 * np.expm1(test.effect):+.1f} %"
        moment = _moment(rollout, "advanced", reason, test, dearer)
        for name in ("looks", "minutes", "control", "treated", "total", "square", "product", "last"):
            rollout[name] = 0
        rollout["stage"], rollout["stage_begun"] = rollout["stage"] + 1, now_ms
        return moment
    if last:
        reason = "no gain shown in time" if affordable else f"no gain shown in time within a limit: {cost}"
        return _end(rollout, "rolled_back", reason, test, dearer)
    return None


def _add(rollout: Any, minute: Minute) -> None:
    rollout["control"] += minute.control
    rollout["treated"] += minute.treated
    seen = np.array([minute.effect, minute.cost])
    if not np.isfinite(seen).all():
        return
    if rollout["minutes"]:
        rollout["product"] += seen * rollout["last"]
    rollout["last"] = seen
    rollout["minutes"] += 1
    rollout["total"] += seen
    rollout["square"] += seen**2


def _limit_broken(minute: Minute) -> str:
    for name, value, limit in (
        ("cpu", minute.cpu_pct, minute.max_cpu_pct),
        ("memory", minute.memory_pct, minute.max_memory_pct),
    ):
        if value > limit:
            return f"{name} {value:.0f} % > {limit:.0f} %"
    return ""


def _end(
    rollout: Any, status: RolloutStatus, reason: str, test: Finding | None = None, cost: Finding | None = None
) -> Moment:
    rollout["status"] = NONE
    return _moment(rollout, status, reason, test, cost)


def _moment(
    rollout: Any, status: RolloutStatus, reason: str, test: Finding | None = None, cost: Finding | None = None
) -> Moment:
    stage = ROLLOUT_STAGES_PCT[int(rollout["stage"])]
    begun, control, treated = (int(rollout[name]) for name in ("stage_begun", "control", "treated"))
    return Moment(status, stage, begun, control, treated, reason, test, cost)
