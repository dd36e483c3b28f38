"""One partition's tuning as a record: what is in force, what is on its way, what was tried, how it went."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.experiment import rollout as course
from online_models.optimizer.choice import MARGIN, Limits
from online_models.optimizer.space import GROUPS
from online_models.optimizer.watch import Progress
from online_models.slot import row_dtype
from schemas.optimizer import OPTIMIZER_TRIGGERS, PARAMETERS, OptimizerRequest

F64 = NDArray[np.float64]

MAX_TRIALS: Final = 24
"""Remembered for each system; the oldest is forgotten, but never the first."""

TUNER: Final = row_dtype(
    ("minute", "i8"), ("enabled", "i8"), ("pending", "i8"), ("recommended", "i8"), ("changed", "i8"),
    ("rested", "i8"), ("group", "i8"), ("chosen", "i8"), ("values", "f8", (9,)), ("proposed", "f8", (9,)),
    ("tunable", "i8", (9,)), ("effect", "f8"), ("dearer", "f8"), ("spent", "f8"), ("limits", "f8", (3,)),
    ("tried", "i8"), ("since_best", "i8"), ("reward", "f8"), ("trials", "i8", (3,)), ("setting", "i8", (3, MAX_TRIALS)),
    ("seen", "f8", (3, MAX_TRIALS, 4)), ("request", "S1024"), ("recommendation", "S512"), ("rollout", course.ROLLOUT),
)  # fmt: skip
"""`values` are in force, `proposed` on their way, `pending` is 1 + the trigger's number; `effect` and `dearer` are what
the rollout's last looked at stage showed of performance and cost, `spent` what all changes in force cost; logarithms.
"""


def take_request(tuner: Any, request: OptimizerRequest, current: F64) -> bool:
    """Note what is asked; whether other values are in force, `[9]`, than were believed to be."""
    tuner["pending"] = 1 + OPTIMIZER_TRIGGERS.index(request.trigger)
    tuner["request"] = request.request_id.encode()
    tuner["limits"] = request.max_memory_pct, request.max_cpu_pct, request.max_cost_increase_pct
    tuner["tunable"], tunable = [p.name in request.current for p in PARAMETERS], tuner["tunable"].copy()
    if tuner["enabled"] and (current == tuner["values"])[tunable > 0].all():
        tuner["values"][tunable == 0] = current[tunable == 0]
        return False
    tuner["enabled"], tuner["spent"] = 1, 0.0
    forget(tuner)
    return True


def forget(tuner: Any) -> None:
    """Forget what was tried: things have changed, and it tells nothing."""
    tuner["trials"] = 0
    tuner["tried"] = tuner["since_best"] = 0
    tuner["reward"] = 0.0


def limits_of(tuner: Any) -> Limits:
    """Soft limits of the last request."""
    return Limits(*tuner["limits"].tolist())


def affordable(tuner: Any) -> float:
    """How much dearer nodes may become by another change, a logarithm, after what those before it cost."""
    return max(float(np.log1p(MARGIN * limits_of(tuner).cost_pct / 100.0) - tuner["spent"]), 0.0)


def remember(tuner: Any, group: int, setting: int, seen: NDArray[Any]) -> None:
    """Note a trial of a system: its setting and what it showed, `[metric]`."""
    n = int(tuner["trials"][group])
    if n == MAX_TRIALS:
        tuner["setting"][group, 1:-1] = tuner["setting"][group, 2:]
        tuner["seen"][group, 1:-1] = tuner["seen"][group, 2:]
        n -= 1
    tuner["setting"][group, n], tuner["seen"][group, n] = setting, seen
    tuner["trials"][group] = n + 1


def progress_of(tuner: Any, now_ms: int) -> Progress:
    """How tuning went so far."""
    gains = [
        tuner["seen"][group, : int(n), 0].max() - tuner["seen"][group, 0, 0]
        for group, n in enumerate(tuner["trials"].tolist()) if n
    ]  # fmt: skip
    since = now_ms - int(tuner["changed"]) if tuner["changed"] else 0
    best = float(sum(gains)) / len(GROUPS)
    return Progress(best, float(tuner["reward"]), int(tuner["tried"]), int(tuner["since_best"]), since)
