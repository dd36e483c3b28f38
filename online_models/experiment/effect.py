"""The treatment against the control: the effect on a metric, and whether requests were shared as planned.

Arms are compared within each link and stage, then summed: what all requests of a link had in
common, in both arms, drops out. A link-stage weighs as much as it tells: n1 n2 / (n1 + n2).

References
----------
J. N. K. Rao, A. J. Scott, The analysis of categorical data from complex sample surveys, JASA 76 (1981):
the chi-square of counts that clump.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import chdtrc, fdtrc

from online_models.experiment.arm import CONTROL, TREATMENT
from online_models.experiment.arm_sum import ArmSums
from online_models.experiment.cluster import LEAST_CLUSTERS, Effect, effect_of
from schemas.experiment import RAMP_PCT, MetricRole

LEAST_EXPECTED: Final = 25.0
"""Independent requests that the smaller arm of a stage must expect for its share to be tested."""

Scale = Literal["amount", "log", "share"]


class Measure(Struct, frozen=True):
    """One metric of an experiment.

    Parameters
    ----------
    metric, unit
        Its name, and its unit before any logarithm.
    role
        The primary one decides; guardrails must not get worse.
    scale
        `amount`: the effect is on the sum, in shares of the control's; large links decide.
        `log`: values are logarithms, the effect is on the geometric mean; every request counts alike.
        `share`: values are 0 or 1, the effect is a difference.
    better
        Which way is good.
    margin
        How much worse a guardrail may get, in shares of the control, of a `share` in its own unit.
    """

    metric: str
    unit: str
    role: MetricRole = "guardrail"
    scale: Scale = "share"
    better: Literal["higher", "lower"] = "lower"
    margin: float = 0.0


class Arms(NamedTuple):
    """One metric in both arms: means over the same mix of links and stages, and the effect.

    `information` is how much the comparison knows, in requests: it grows with every look.
    """

    control: float
    treatment: float
    effect: Effect
    information: float


def compare(sums: ArmSums, measure: Measure) -> Arms:
    """Compare the arms in one metric, over all stages in which both had requests."""
    at = sums.metrics.index(measure.metric)
    known = sums.rows["known"][:, :, :, at].astype(np.float64)
    total = sums.rows["total"][:, :, :, at]
    n = known.sum(axis=2)
    weight = known[:, :, CONTROL] * known[:, :, TREATMENT] / np.maximum(n, 1.0)
    mean = total / np.maximum(known, 1.0)
    control = (weight * mean[:, :, CONTROL]).sum(axis=1)
    treatment = (weight * mean[:, :, TREATMENT]).sum(axis=1)
    base = weight.sum(axis=1)
    everything = float(base.sum())
    effect = effect_of(treatment - control, control if measure.scale == "amount" else base)
    if not everything:
        return Arms(0.0, 0.0, effect, 0.0)
    means = np.array([control.sum(), treatment.sum()]) / everything
    if measure.scale == "log":
        means = np.exp(means)
    return Arms(float(means[0]), float(means[1]), effect, everything)


def lift_pct(measure: Measure, arms: Arms, effect: float) -> float:
    """An effect, or an end of its interval, in % of the control; 0 where the control has nothing."""
    if measure.scale == "amount":
        return 100.0 * effect
    if measure.scale == "log":
        return 100.0 * float(np.expm1(effect))
    return 100.0 * effect / arms.control if arms.control else 0.0


def sample_ratio_p(sums: ArmSums) -> float:
    """Probability of arms as unequal as these if every stage shared requests as planned.

    Chi-square over the stages. Requests that come in clumps of one arm vary more than independent
    ones: by the design effect, measured between links. What is too small for the approximation is left out.
    """
    requests = sums.rows["requests"][:, :-1].astype(np.float64)  # at 100 % nothing is shared
    n, treated = requests.sum(axis=2), requests[:, :, TREATMENT]
    design, freedom = _design_effect(n, treated)
    planned = np.array(RAMP_PCT[:-1]) / 100.0
    total = n.sum(axis=0)
    told = total * np.minimum(planned, 1.0 - planned) >= LEAST_EXPECTED * design
    if not told.any():
        return 1.0
    off = treated.sum(axis=0)[told] - (planned * total)[told]
    statistic = float(np.sum(off**2 / (planned * (1.0 - planned) * total)[told])) / design
    stages = int(told.sum())
    return float(chdtrc(stages, statistic) if design == 1.0 else fdtrc(stages, freedom, statistic / stages))


def _design_effect(n: NDArray[np.float64], treated: NDArray[np.float64]) -> tuple[float, float]:
    """How much more the links' shares vary around their stage's than independent requests would, at least 1.

    The mean over links, each counted alike: one that has most of the traffic would decide the stage's
    share, and so hide its own clumps. Infinite with too few to say; with the degrees of freedom that it is known to.
    """
    total = n.sum(axis=0)
    share = treated.sum(axis=0) / np.maximum(total, 1.0)
    leverage = n / np.maximum(total, 1.0)
    expected = share * (1.0 - share) * n * (1.0 - leverage)
    told = expected > 1.0
    freedom = float(np.count_nonzero(told) - np.count_nonzero(told.any(axis=0)))
    if freedom < LEAST_CLUSTERS - 1.0:
        return np.inf, freedom
    ratio = ((treated - share * n) ** 2)[told] / expected[told]
    return max(float(ratio.mean()), 1.0), freedom
