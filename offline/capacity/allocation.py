"""What a node should have of each resource so that its latency keeps an objective, and what that costs.

The work stays what it was measured to be, times `load`: with `a` percent of a resource, its utilisation is `100 / a`
of what it was. Latency at other utilisations is the measured relation (`offline.capacity.relation`), asked only within
the utilisations that were seen, and not above the level from which capacity warns. It is observational: what grows with
load, but through nothing the node has, is taken for the resource's doing.

From the least that is allowed on, a percent goes where it buys the most latency for its cost, until 95 % of the
resamples keep the objective; as gains diminish, that is the cheapest way to each latency (Fox, 1966, Discrete
optimization via marginal analysis).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from offline.capacity.relation import Relation, Unsupported, fit_relation
from offline.capacity.resource import Resource

F64 = NDArray[np.float64]

CONFIDENT: Final = 0.95
"""Share of resamples that must keep the objective."""

_BOUNDS: Final = (0.05, 0.95)
_TARGET: Final = "latency_mean"


class Allocation(Struct, frozen=True):
    """The answer to one request.

    Parameters
    ----------
    timestamp
        Of the last measurement, UTC epoch milliseconds.
    scope
        The node, or nodes as one.
    latency_objective_ms
        What the mean latency should keep when the node is as busy as in the busiest 5 % of what was measured.
    optimal_allocation
        Percent of what there is now, of each resource that latency was shown to follow.
    expected_performance
        `latency_mean` at that allocation and load, `latency_mean_lower` and `_upper`, which hold 90 % of the resamples,
        `latency_mean_now` with what it has and the load that was measured, all ms, and `<resource>_pct` used.
    cost_estimate, cost_unit
        Of all of these resources, not of what is added; None where the size of one is not configured.
    confidence
        Share of resamples in which that latency keeps the objective, 0..1.
    reason
        Why there is no allocation, or why it is not what was asked for; empty where it is.
    form, r2, rows
        The relation: its shape, how much it explains where it was not fitted, and of how many measurements.
    """

    timestamp: int
    scope: str
    latency_objective_ms: float
    load_pct: float
    optimal_allocation: dict[str, float] | None
    expected_performance: dict[str, float] | None
    cost_estimate: float | None
    cost_unit: str
    confidence: float | None
    reason: str
    form: str | None
    r2: float | None
    rows: int


class Request(Struct, frozen=True):
    """What is asked for: an objective in ms, a limit of cost or None, and the load in percent of what was measured."""

    scope: str
    objective_ms: float
    budget: float | None
    load_pct: float
    cost_unit: str


def allocate(
    request: Request,
    timestamp: int,
    latency: F64,
    utilisation: Mapping[str, F64],
    resources: Mapping[str, Resource],
    seed: int = 1,
) -> Allocation:
    """Answer a request; without numbers where the measurements do not support any.

    Parameters
    ----------
    timestamp
        Of the last measurement.
    latency
        ms, `[n]`, in order of time.
    utilisation
        %, `[n]` by resource.
    resources
        Each of these, with its level, size and unit cost.
    seed
        Of the resamples.
    """
    try:
        relation = fit_relation(latency, utilisation, seed)
    except Unsupported as exc:
        return Allocation(timestamp, request.scope, request.objective_ms, request.load_pct, None, None, None,
                          request.cost_unit, None, str(exc), None, None, len(latency))  # fmt: skip
    price = prices(relation, resources)
    percent, reason = _chosen(relation, request, resources, price)
    then = relation.busy * request.load_pct / percent
    said = relation.latency(then)
    lower, upper = np.quantile(said, _BOUNDS).tolist()
    expected = {_TARGET: relation.expected(then), f"{_TARGET}_lower": lower, f"{_TARGET}_upper": upper,
                f"{_TARGET}_now": relation.expected(relation.busy)}  # fmt: skip
    expected |= {f"{name}_pct": used for name, used in zip(relation.drivers, then.tolist(), strict=True)}
    return Allocation(
        timestamp=timestamp,
        scope=request.scope,
        latency_objective_ms=request.objective_ms,
        load_pct=request.load_pct,
        optimal_allocation=dict(zip(relation.drivers, percent.tolist(), strict=True)),
        expected_performance={name: round(max(value, 0.0), 3) for name, value in expected.items()},
        cost_estimate=None if price is None else round(float(price @ percent), 2),
        cost_unit=request.cost_unit,
        confidence=round(float((said <= request.objective_ms).mean()), 4),
        reason=reason,
        form=relation.form,
        r2=round(relation.r2, 4),
        rows=len(latency),
    )


def prices(relation: Relation, resources: Mapping[str, Resource]) -> F64 | None:
    """Cost of one percent of each driver; None where the size of one is not configured."""
    sizes = [resources[name].size for name in relation.drivers]
    if not all(sizes):
        return None
    costs = [resources[name].unit_cost for name in relation.drivers]
    return np.array([(size or 0.0) / 100.0 * cost for size, cost in zip(sizes, costs, strict=True)])


def _chosen(
    relation: Relation, request: Request, resources: Mapping[str, Resource], price: F64 | None
) -> tuple[F64, str]:
    """Percent of each driver, and what is amiss with it."""
    demand = relation.busy * request.load_pct
    percent, ceiling = _limits(relation, demand, resources)
    # Without sizes a percent of one resource counts as much as a percent of another.
    cost = np.ones(len(percent)) if price is None else np.maximum(price, 1e-9)
    budget = np.inf if request.budget is None else request.budget
    if cost @ percent > budget:
        return percent, f"the least that may be is above the budget: {_listed(relation, percent)}"
    while (relation.latency(demand / percent) <= request.objective_ms).mean() < CONFIDENT:
        now, gain = relation.expected(demand / percent), np.full(len(percent), -np.inf)
        steps = np.minimum(1.0, ceiling - percent)
        for k in np.flatnonzero((steps > 0) & (cost @ percent + cost * steps <= budget)):
            more = percent.copy()
            more[k] += steps[k]
            gain[k] = (now - relation.expected(demand / more)) / (cost[k] * steps[k])
        if not np.isfinite(gain).any():
            if (percent >= ceiling).all():
                return (
                    percent,
                    f"the objective is not kept with the most whose effect was seen: {_listed(relation, percent)}",
                )
            return percent, "the objective is not kept within the budget"
        best = int(np.argmax(gain))
        percent[best] += steps[best]
    return percent, ""


def _limits(relation: Relation, demand: F64, resources: Mapping[str, Resource]) -> tuple[F64, F64]:
    """Least and most percent that leave utilisation within what was seen, and below the level that warns."""
    warning = np.array([resources[name].warning or 100.0 for name in relation.drivers])
    high = np.maximum(np.minimum(relation.most, warning), relation.least)
    least = np.ceil(demand / high)
    return least, np.maximum(np.floor(demand / np.maximum(relation.least, 1.0)), least)


def _listed(relation: Relation, percent: F64) -> str:
    return ", ".join(f"{name} {much:.0f} %" for name, much in zip(relation.drivers, percent, strict=True))
