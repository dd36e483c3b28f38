"""Recommendations and rollouts as records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from online_models.experiment import rollout as course
from online_models.optimizer.belief import Belief
from online_models.optimizer.choice import Choice, Limits
from online_models.optimizer.posterior import Posterior
from online_models.optimizer.prior import COST, CPU, MEMORY, PERFORMANCE
from online_models.optimizer.space import STATE
from schemas.batch import Output, object_column
from schemas.optimizer import OPTIMIZER_TRIGGERS, PARAMETERS, SIGNIFICANCE_LEVEL, ConstraintCheck, ParameterChange

MODEL_NAME: Final = "learned-prior"
MODEL_VERSION: Final = "gp-4"
VALID_MS: Final = 24 * 3_600_000

_DEVIATIONS: Final = 1.96
_DIGITS: Final = 6


def make_changes(
    before: NDArray[Any], after: NDArray[Any], posterior: Posterior | None, where: slice
) -> list[ParameterChange]:
    """Parameters that change, with their hard limits.

    `sensitivity` is what a step of 5 % up is expected to change performance by, as a share, at the new setting.
    """
    found = []
    for k, p in enumerate(PARAMETERS):
        if before[k] == after[k]:
            continue
        slope = None
        if posterior is not None and where.start <= k < where.stop:
            slope = _sensitivity(posterior, after[where], k - where.start, p.step)
        change = ParameterChange(p.name, p.unit, float(before[k]), float(after[k]), p.minimum, p.maximum, slope)
        found.append(change)
    return found


def recommendation_record(
    now: int, request: str, scope: str, trigger: int, changes: list[ParameterChange], choice: Choice,
    belief: Belief, limits: Limits, state: NDArray[Any],
) -> dict[str, Any]:  # fmt: skip
    """Fields of an `OptimizerRecommendation` but its id and model's version."""
    posterior = belief.posterior
    start, at, mean = int(posterior.setting[0]), choice.setting, posterior.mean
    dearer = 100.0 * float(np.expm1(mean[COST, at] - mean[COST, start]))
    penalty = max(dearer, 0.0) / 100.0
    low, middle, high = (
        100.0 * float(np.expm1(np.clip(choice.gain + off * choice.sd, -20.0, 20.0)) if changes else 0.0)
        for off in (-_DEVIATIONS, 0.0, _DEVIATIONS)
    )
    expected = (
        ("memory", limits.memory_pct, float(np.exp(mean[MEMORY, at]))),
        ("cpu", limits.cpu_pct, float(np.exp(mean[CPU, at]))),
        ("cost_increase", limits.cost_pct, dearer),
    )
    checks = [ConstraintCheck(name, min(limit, 100.0), value, value <= limit) for name, limit, value in expected]  # type: ignore[arg-type]
    return {
        "timestamp": now, "request_id": request, "scope": scope, "trigger": OPTIMIZER_TRIGGERS[trigger],
        "changes": changes, "reward": middle / 100.0 - penalty, "cost_penalty": penalty, "improvement_pct": middle,
        "improvement_lower_pct": low, "improvement_upper_pct": high, "constraints": checks,
        "confidence": float(ndtr(choice.gain / max(choice.sd, 1e-6))) if changes else 1.0,
        "valid_until": now + VALID_MS, "model_name": MODEL_NAME,
        "state": dict(zip(STATE, np.round(state, _DIGITS).tolist(), strict=True)),
        "context": {name: round(value, _DIGITS) for name, value in belief.told.items()},
    }  # fmt: skip


def rollout_record(
    now: int, scope: str, recommendation: str, rollout: Any, moment: course.Moment, changes: list[ParameterChange]
) -> dict[str, Any]:
    """Fields of an `OptimizerRollout` but its id."""
    effect, low, high, p = course.effect_pct(moment.test)
    return {
        "timestamp": now, "rollout_id": f"{scope}/{int(rollout['number'])}", "recommendation_id": recommendation,
        "scope": scope, "status": moment.status, "stage_pct": moment.stage_pct,
        "stage_started_at": moment.stage_started_at, "changes": changes, "control_samples": moment.control,
        "treatment_samples": moment.treated, "effect_pct": effect, "effect_lower_pct": low, "effect_upper_pct": high,
        "p_value": p, "significance_level": SIGNIFICANCE_LEVEL / course.LOOKS, "reason": moment.reason,
        "cost_effect_pct": course.effect_pct(moment.cost)[0],
    }  # fmt: skip


def output_of(records: Sequence[tuple[int, dict[str, Any]]]) -> Output:
    """Records with the row each derives from, as an output keyed by scope.

    Ids of rollouts end in the scope's partition, because a control is a row of all partitions.
    """
    columns = {name: object_column([record[name] for _, record in records]) for name in records[0][1]}
    row = np.array([row for row, _ in records], np.intp)
    scopes: list[str] = [record["scope"] for _, record in records]
    suffix = [scope.rpartition("/")[2] for scope in scopes] if "rollout_id" in columns else None
    return Output(row, columns, [scope.encode() for scope in scopes], suffix)


def _sensitivity(posterior: Posterior, setting: NDArray[Any], axis: int, step: float) -> float:
    """Expected change of performance of a step up, a share: in proportion to the grid's next place, or the last."""
    prior, expected = posterior.prior, posterior.mean[PERFORMANCE]
    places = np.unique(prior.values[:, axis])
    at = int(np.argmin(np.abs(places - setting[axis])))
    up = at + 1 < len(places)
    moved = np.array(setting, np.float64)
    moved[axis] = places[at + 1 if up else at - 1]
    change = float(np.expm1(expected[prior.nearest(moved)] - expected[prior.nearest(setting)]))
    return change * step / float(moved[axis] - setting[axis])
