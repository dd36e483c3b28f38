"""From forecasts to a plan: when what runs out, how urgent that is, what to add, what it costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from offline.capacity.blend import MODEL_NAME, MODEL_VERSION, Outlook
from offline.capacity.history import DAY_MS
from offline.capacity.path import first_reached, reached_by, simulate
from offline.capacity.resource import Resource, Settings
from schemas.capacity import CapacityAlert, CapacityForecast, CapacityNeed, CapacityPlan, CapacityStep, urgency_of

_DIGITS: Final = 4
_LIKELY: Final = 0.05
_MANY_GAPS: Final = 0.1
_LEAST_HORIZONS: Final = 3


class Case(NamedTuple):
    """One resource of a scope with its forecast, and how likely its critical level is reached to last, `[step]`."""

    name: str
    resource: Resource
    outlook: Outlook
    forecast: CapacityForecast
    lasting: NDArray[np.float64]


def make_case(scope: str, name: str, resource: Resource, outlook: Outlook, seed: int = 1) -> Case:
    """The published forecast of a resource.

    Parameters
    ----------
    resource
        With both levels, see `offline.capacity.resource.usable`.
    outlook
        In the resource's unit.
    seed
        Of the simulated paths behind the probabilities.
    """
    assert resource.warning is not None
    assert resource.critical is not None
    history = outlook.history
    timestamp = history.end_ms - history.step_ms
    paths = simulate(outlook, seed, bursts=True)
    record = CapacityForecast(
        id=f"{scope}/{name}/{timestamp}:capacity.forecast",
        timestamp=timestamp,
        scope=scope,
        resource=name,
        unit=resource.unit,
        model_name=MODEL_NAME,
        model_version=MODEL_VERSION,
        history_points=history.points,
        first_target_time=history.end_ms,
        step_ms=history.step_ms,
        predicted=_listed(outlook.predicted),
        lower=_listed(outlook.lower),
        upper=_listed(outlook.upper),
        threshold=resource.warning,
        critical_threshold=resource.critical,
        threshold_probability=_listed(reached_by(paths, resource.warning)),
        critical_probability=_listed(reached_by(paths, resource.critical)),
        mase=None if outlook.ratio is None else round(outlook.ratio, _DIGITS),
        coverage=round(outlook.coverage, _DIGITS),
    )
    return Case(name, resource, outlook, record, reached_by(simulate(outlook, seed), resource.critical))


def make_plan(scope: str, cases: Sequence[Case], settings: Settings, generated_at_ms: int) -> CapacityPlan:
    """What a scope needs in the days ahead.

    Parameters
    ----------
    cases
        Its resources, at least one.
    generated_at_ms
        Now, UTC epoch milliseconds.
    """
    needs = {case.name: make_need(case, settings) for case in cases}
    timestamp = max(case.forecast.timestamp for case in cases)
    horizon = max(case.outlook.steps * case.forecast.step_ms for case in cases)
    return CapacityPlan(
        id=f"{scope}/{timestamp}:capacity.plan",
        timestamp=timestamp,
        scope=scope,
        generated_at=generated_at_ms,
        horizon_days=max(round(horizon / DAY_MS), 1),
        needs=needs,
        cost_estimate=round(sum(need.cost_estimate for need in needs.values()), 2),
        cost_unit=settings.cost_unit,
        timeline=_timeline(cases, needs, settings),
        risks=[risk for case in cases for risk in risks(case)],
        confidence=round(float(np.mean([_confidence(case.outlook) for case in cases])), 3),
    )


def make_need(case: Case, settings: Settings) -> CapacityNeed:
    """What one resource needs.

    `exceeds_at` is where the forecast reaches the critical level, or one future in four has reached it by more than
    a burst; `exceeds_probability` is that of any single step.
    """
    record, outlook, resource = case.forecast, case.outlook, case.resource
    step = outlook.history.per_block
    at = first_reached(np.array(record.predicted), case.lasting, record.critical_threshold)
    exceeds_at = None if at is None else record.first_target_time + at * record.step_ms
    days = None if exceeds_at is None else (exceeds_at - record.timestamp) / DAY_MS
    recent = outlook.history.value[-step:]
    current = float(np.nanmean(recent)) if np.isfinite(recent).any() else float(outlook.predicted[0].mean())
    add = _addition(max(record.predicted), resource, settings.buffer_pct)
    cost = add / 100.0 * resource.size * resource.unit_cost if resource.size else 0.0
    return CapacityNeed(
        current=round(max(current, 0.0), _DIGITS),
        forecast=round(max(float(outlook.predicted[-1].mean()), 0.0), _DIGITS),
        unit=resource.unit,
        threshold=record.threshold,
        critical_threshold=record.critical_threshold,
        exceeds_at=exceeds_at,
        days_to_threshold=None if days is None else round(days, _DIGITS),
        exceeds_probability=record.critical_probability[-1],
        urgency=urgency_of(days),
        add_pct=round(add, 1),
        cost_estimate=round(cost, 2),
        recommended_action=_action(case.name, resource, add, at is not None),
    )


def _addition(peak: float, resource: Resource, buffer_pct: float) -> float:
    """Percent of today's capacity to add so that the peak with the buffer stays below the warning level."""
    if resource.unit != "percent" or resource.warning is None:
        return 0.0
    return max(100.0 * (peak * (1.0 + buffer_pct / 100.0) / resource.warning - 1.0), 0.0)


def _action(name: str, resource: Resource, add: float, exceeds: bool) -> str:
    if resource.unit == "ms":
        return f"find what drives {name}, or move load away" if exceeds else "none"
    if add < 1.0:
        return "none"
    amount = f", {add / 100.0 * resource.size:.3g} {resource.size_unit}" if resource.size else ""
    return f"add {add:.0f} % of {name}{amount}"


def _timeline(cases: Sequence[Case], needs: dict[str, CapacityNeed], settings: Settings) -> list[CapacityStep]:
    """Actions by when they are due: some days before the level is reached, or else at the horizon."""
    steps = []
    for case in cases:
        need, record = needs[case.name], case.forecast
        if need.recommended_action == "none":
            continue
        end = record.first_target_time + (case.outlook.steps - 1) * record.step_ms
        lead = round(settings.lead_days * DAY_MS)
        due = end if need.exceeds_at is None else max(need.exceeds_at - lead, record.timestamp)
        steps.append(CapacityStep(due, case.name, need.urgency, need.recommended_action))
    return sorted(steps, key=lambda step: (step.due, step.resource))


def risks(case: Case) -> list[str]:
    """What may make the plan wrong, in words."""
    record, outlook, history = case.forecast, case.outlook, case.outlook.history
    found = []
    ahead = outlook.steps * record.step_ms / DAY_MS
    span = len(history) * record.step_ms / DAY_MS
    if span < _LEAST_HORIZONS * ahead:
        found.append(f"{case.name}: {span:.0f} days of history for {ahead:.0f} days ahead")
    if (gaps := 1.0 - history.points / len(history)) > _MANY_GAPS:
        found.append(f"{case.name}: {100 * gaps:.0f} % of the history is missing")
    chance = record.critical_probability[-1]
    if chance >= _LIKELY and max(record.predicted) < record.critical_threshold:
        found.append(f"{case.name}: {record.critical_threshold:g} is reached with {100 * chance:.0f} %, "
                     f"{100 * case.lasting[-1]:.0f} % but for bursts, not by the mean of the forecast")  # fmt: skip
    if record.mase is not None and record.mase > 1.0:
        found.append(f"{case.name}: in backtests last week's values were the better forecast")
    return found


def _confidence(outlook: Outlook) -> float:
    """1 - the backtests' error over the mean of the values, 0..1; 1 where all are 0."""
    return 1.0 if outlook.wape is None else min(max(1.0 - outlook.wape, 0.0), 1.0)


def urgency_alerts(plan: CapacityPlan, cases: Sequence[Case], previous: CapacityPlan | None) -> list[CapacityAlert]:
    """Alerts for resources whose urgency is not what it was; without a previous plan, for all above LOW."""
    found = []
    for case in cases:
        need = plan.needs[case.name]
        before = previous.needs.get(case.name) if previous else None
        if need.urgency != (before.urgency if before else "LOW"):
            found.append(_alert(case, need, "urgency", need.current, float(case.outlook.predicted[0].mean()), before))
    return found


def divergence_alerts(
    plan: CapacityPlan, cases: Sequence[Case], earlier: Sequence[CapacityForecast], limit_pct: float
) -> list[CapacityAlert]:
    """Alerts for resources whose last day was off what an earlier forecast said of that day by more than a limit.

    Parameters
    ----------
    earlier
        Forecasts made before; those of other resources, or that do not reach the last day, say nothing.
    limit_pct
        Of the forecast.
    """
    found = []
    for case in cases:
        for record in earlier:
            if record.resource != case.name or record.scope != plan.scope:
                continue
            actual, forecast = _same_times(case.outlook, record)
            if forecast is not None and abs(actual - forecast) > limit_pct / 100.0 * abs(forecast):
                found.append(_alert(case, plan.needs[case.name], "divergence", actual, forecast, None))
    return found


def _same_times(outlook: Outlook, record: CapacityForecast) -> tuple[float, float | None]:
    """Mean of the last block, and of what was forecast for its steps; None where nothing was."""
    history = outlook.history
    last: NDArray[np.float64] = history.value[-history.per_block :]
    times = history.end_ms + history.step_ms * np.arange(-len(last), 0)
    at = (times - record.first_target_time) // record.step_ms
    both = (at >= 0) & (at < len(record.predicted)) & np.isfinite(last)
    if not both.any():
        return 0.0, None
    return float(last[both].mean()), float(np.array(record.predicted)[at[both]].mean())


def _alert(
    case: Case, need: CapacityNeed, reason: str, current: float, forecast: float, before: CapacityNeed | None
) -> CapacityAlert:
    record = case.forecast
    off = 100.0 * (current - forecast) / abs(forecast) if forecast else 0.0
    kind = "capacity.alert" if reason == "urgency" else "capacity.alert.divergence"
    return CapacityAlert(
        id=f"{record.scope}/{case.name}/{record.timestamp}:{kind}",
        timestamp=record.timestamp,
        scope=record.scope,
        resource=case.name,
        reason="urgency" if reason == "urgency" else "divergence",
        urgency=need.urgency,
        previous_urgency=before.urgency if before else None,
        unit=need.unit,
        current=round(max(current, 0.0), _DIGITS),
        forecast=round(max(forecast, 0.0), _DIGITS),
        divergence_pct=round(off, 2),
        threshold=need.threshold,
        critical_threshold=need.critical_threshold,
        exceeds_at=need.exceeds_at,
        days_to_threshold=need.days_to_threshold,
        exceeds_probability=need.exceeds_probability,
        recommended_action=need.recommended_action,
    )


def _listed(values: NDArray[np.float64]) -> list[float]:
    return [round(value, _DIGITS) for value in values.ravel().tolist()]
