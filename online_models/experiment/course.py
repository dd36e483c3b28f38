"""An experiment's course: when to look, what a look finds, and what follows from it.

Pure: a plan, where it stands, the sums so far and the time, to the next state and the
look's result. What a restart needs is the last `ExperimentState` and the captured sums.

Stages are 1 % for 48 h, 10 % for 48 h, 50 % until it is decided, 100 % for 72 h. Looks are taken
at fixed times through the first three, and all of them together keep the level; at 100 % there is
no control, and only `online_models.experiment.rollback` watches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from msgspec import Struct
from msgspec.structs import replace
from scipy.special import ndtr

from online_models.experiment.arm import CONTROL, TREATMENT
from online_models.experiment.arm_sum import ArmSums
from online_models.experiment.bound import boundaries
from online_models.experiment.effect import Arms, Measure, compare, lift_pct, sample_ratio_p
from schemas.experiment import (
    MIN_REQUESTS_PER_ARM,
    RAMP_PCT,
    ExperimentDecision,
    ExperimentResult,
    ExperimentState,
    ExperimentStatus,
    MetricComparison,
)

HOUR_MS: Final = 3_600_000
_UNKNOWN: Final = 1e9
"""End of an interval that nothing is known of; JSON has no infinity."""

MEASURES: Final = (
    Measure("throughput_mbps", "Mbps", "primary", "log", "higher"),
    Measure("correct", "1", better="higher", margin=0.005),
    Measure("slow", "1", margin=0.001),
    Measure("error", "1", margin=0.0005),
)
"""Of the selector: throughput (as its logarithm), agreement with the oracle, inference above 2 ms, failure."""


class Plan(Struct, frozen=True, kw_only=True):
    """What was decided before the experiment began.

    Parameters
    ----------
    measures
        Exactly one is primary.
    level
        Of the primary test, two-sided, all looks together.
    min_lift_pct
        The gain that is asked for beside significance.
    guardrail_level
        Probability that any guardrail stops a treatment that is at its margin in all of them.
    sample_ratio_level
        Of the sample-ratio check, at each look.
    looks, look_every_ms
        How many at most, and how far apart; a look that is missed is not made up for.
    stage_ms
        How long each stage of `RAMP_PCT` lasts at least.
    """

    experiment_id: str
    model_name: str
    control_version: str
    treatment_version: str
    measures: tuple[Measure, ...] = MEASURES
    level: float = 0.01
    min_lift_pct: float = 5.0
    guardrail_level: float = 0.05
    sample_ratio_level: float = 0.0005
    min_requests_per_arm: int = MIN_REQUESTS_PER_ARM
    looks: int = 28
    look_every_ms: int = 24 * HOUR_MS
    stage_ms: tuple[int, int, int, int] = (48 * HOUR_MS, 48 * HOUR_MS, 0, 72 * HOUR_MS)

    @property
    def primary(self) -> Measure:
        """The measure that decides."""
        (found,) = (measure for measure in self.measures if measure.role == "primary")
        return found

    @property
    def metrics(self) -> list[str]:
        """What `ArmSums` has to be made with, in order."""
        return [measure.metric for measure in self.measures]


class Verdict(NamedTuple):
    """What follows, why, and the status after it."""

    decision: ExperimentDecision
    reason: str
    status: ExperimentStatus = "running"


class Look(NamedTuple):
    """A look's result, and the state after it."""

    state: ExperimentState
    result: ExperimentResult


def begin(plan: Plan, now_ms: int) -> ExperimentState:
    """The state of an experiment that starts now."""
    return ExperimentState(
        id=_state_id(plan.experiment_id, now_ms), timestamp=now_ms, experiment_id=plan.experiment_id,
        status="running", ramp_pct=RAMP_PCT[0], model_name=plan.model_name, control_version=plan.control_version,
        treatment_version=plan.treatment_version, primary_metric=plan.primary.metric, started_at=now_ms,
        stage_started_at=now_ms, control_requests=0, treatment_requests=0,
        min_requests_per_arm=plan.min_requests_per_arm, looks=0, reason="begun", looks_planned=plan.looks,
    )  # fmt: skip


def take_look(plan: Plan, state: ExperimentState, sums: ArmSums, now_ms: int) -> Look | None:
    """The look that is due, if one is.

    None before its time, after the end, and while nothing new is known.
    """
    if state.status != "running":
        return None
    if state.ramp_pct == RAMP_PCT[-1]:
        if now_ms < state.stage_started_at + plan.stage_ms[-1]:
            return None
        return _after(plan, state, sums, now_ms, [], Verdict("promote", "100 % held for its time", "passed"))
    numbers, information = state.look_numbers or [], state.information or []
    number = min((now_ms - state.started_at) // plan.look_every_ms, plan.looks)
    known = compare(sums, plan.primary).information
    if number <= max(numbers, default=0) or known <= max(information, default=0.0):
        return None
    numbers, information = [*numbers, number], [*information, known]
    comparisons = _comparisons(plan, numbers, information, sums)
    state = replace(state, look_numbers=numbers, information=information)
    verdict = _verdict(plan, state, sums, now_ms, comparisons, last=number >= plan.looks)
    return _after(plan, state, sums, now_ms, comparisons, verdict)


def roll_back(state: ExperimentState, now_ms: int, reason: str) -> ExperimentState:
    """The state after a trigger of `online_models.experiment.rollback`: all requests have the control again."""
    return replace(
        state, id=_state_id(state.experiment_id, now_ms), timestamp=now_ms, status="rolled_back", reason=reason
    )


def _verdict(
    plan: Plan, state: ExperimentState, sums: ArmSums, now_ms: int, comparisons: list[MetricComparison], *, last: bool
) -> Verdict:
    ratio = sample_ratio_p(sums)
    if ratio < plan.sample_ratio_level:
        return Verdict("stop", f"arms are not shared as planned (p = {ratio:.2g}): no result can be trusted", "stopped")
    failed = [c.metric for c in comparisons if c.role == "guardrail" and not c.passed]
    if failed:
        return Verdict("rollback", f"{', '.join(failed)} worse beyond its margin, for certain", "rolled_back")
    primary = next(c for c in comparisons if c.role == "primary")
    certain = primary.p_value < primary.p_boundary
    gain = primary.lift_pct if plan.primary.better == "higher" else -primary.lift_pct
    if certain and gain < 0:
        return Verdict("rollback", f"{primary.metric} is worse: {primary.lift_pct:+.1f} %", "rolled_back")
    if primary.passed and state.ramp_pct == 50:
        return Verdict("advance", f"{primary.metric} {primary.lift_pct:+.1f} %, p = {primary.p_value:.2g}")
    if last:
        return Verdict("stop", f"the last look found no gain above {plan.min_lift_pct:g} % for certain", "failed")
    held = now_ms - state.stage_started_at
    if state.ramp_pct < 50 and held >= plan.stage_ms[RAMP_PCT.index(state.ramp_pct)] and sums.requests(TREATMENT):
        return Verdict("advance", f"{state.ramp_pct} % passed after {held // HOUR_MS} h")
    return Verdict("wait", "not decided yet")


def _after(
    plan: Plan, state: ExperimentState, sums: ArmSums, now_ms: int, comparisons: list[MetricComparison],
    verdict: Verdict,
) -> Look:  # fmt: skip
    look = state.looks + 1
    control, treatment = sums.requests(CONTROL), sums.requests(TREATMENT)
    advanced = verdict.decision == "advance"
    result = ExperimentResult(
        f"{plan.experiment_id}/{look}:experiment.result", now_ms, plan.experiment_id, look, max(plan.looks, look),
        control, treatment, sample_ratio_p(sums), comparisons, verdict.decision, verdict.reason,
    )  # fmt: skip
    after = replace(
        state, id=_state_id(plan.experiment_id, now_ms), timestamp=now_ms, status=verdict.status,
        ramp_pct=RAMP_PCT[RAMP_PCT.index(state.ramp_pct) + 1] if advanced else state.ramp_pct,
        stage_started_at=now_ms if advanced else state.stage_started_at, control_requests=control,
        treatment_requests=treatment, looks=look, reason=verdict.reason,
    )  # fmt: skip
    return Look(after, result)


def _comparisons(plan: Plan, numbers: Sequence[int], seen: Sequence[float], sums: ArmSums) -> list[MetricComparison]:
    information, times = tuple(seen), tuple(number / plan.looks for number in numbers)
    guardrails = max(len(plan.measures) - 1, 1)
    bound = boundaries(information, times, plan.level)[-1]
    # Harm is to be found early: spent evenly, one side of twice the level, shared by the guardrails.
    harm_bound = boundaries(information, times, 2.0 * plan.guardrail_level / guardrails, "pocock")[-1]
    found = []
    for measure in plan.measures:
        arms = compare(sums, measure)
        if measure.role == "primary":
            found.append(_primary(plan, measure, arms, bound, sums))
        else:
            found.append(_guardrail(measure, arms, harm_bound))
    return found


def _primary(plan: Plan, measure: Measure, arms: Arms, bound: float, sums: ArmSums) -> MetricComparison:
    z = arms.effect.z()
    sign = 1.0 if measure.better == "higher" else -1.0
    gain = sign * lift_pct(measure, arms, arms.effect.value)
    enough = min(sums.requests(CONTROL), sums.requests(TREATMENT)) >= plan.min_requests_per_arm
    passed = sign * z > bound and gain > plan.min_lift_pct and enough
    return _comparison(measure, arms, 2.0 * float(ndtr(-abs(z))), 2.0 * float(ndtr(-bound)), passed)


def _guardrail(measure: Measure, arms: Arms, bound: float) -> MetricComparison:
    harm = -arms.effect.z(-measure.margin) if measure.better == "higher" else arms.effect.z(measure.margin)
    return _comparison(measure, arms, float(ndtr(-harm)), float(ndtr(-bound)), harm < bound)


def _comparison(measure: Measure, arms: Arms, p: float, boundary: float, passed: bool) -> MetricComparison:
    ends = [lift_pct(measure, arms, end) for end in arms.effect.interval()]
    low, high = (min(max(end, -_UNKNOWN), _UNKNOWN) for end in ends)
    lift = lift_pct(measure, arms, arms.effect.value)
    return MetricComparison(
        measure.metric, measure.unit, measure.role, arms.control, arms.treatment, lift, low, high, p, boundary,
        bool(passed),
    )  # fmt: skip


def _state_id(experiment_id: str, now_ms: int) -> str:
    return f"{experiment_id}/{now_ms}:experiment.state"
