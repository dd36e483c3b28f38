"""Which of two forecasters wins, when each serves links of its own.

A forecaster learns with the links that it serves, so a link stays with one version, and versions are compared between
links. A link counts once, with its error as a share of what persistence missed by on the same samples: links of any
size, and hours of any kind, then compare. Looks are planned and paid for together, as in `course`.

References
----------
B. L. Welch, The generalization of Student's problem when several different population variances are involved,
Biometrika 34 (1947).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import ndtr

from online_models.experiment.bound import boundaries
from online_models.experiment.cluster import Effect

HOUR_MS: Final = 3_600_000

Values = NDArray[np.float64]


class WinnerRule(Struct, frozen=True, kw_only=True):
    """What was decided before the comparison began.

    Parameters
    ----------
    level
        Two-sided, of all looks together: the probability that one of two equal versions wins by its errors.
    harm_level
        One-sided, likewise, that a treatment that is no worse is stopped as worse.
    min_gain
        Share by which the treatment's errors have to be smaller.
    looks, look_every_ms
        How many at most, and how far apart.
    least_links
        Of each arm, without which nothing is decided.
    least_scores
        Of a link, without which it does not count.
    """

    level: float = 0.01
    harm_level: float = 0.05
    min_gain: float = 0.01
    looks: int = 14
    look_every_ms: int = 24 * HOUR_MS
    least_links: int = 20
    least_scores: int = 96


class Arm(NamedTuple):
    """One version's links.

    Parameters
    ----------
    ratios
        Logarithm of each link's error over persistence's, `[links]`.
    scores
        Scored forecasts of all of them.
    """

    ratios: Values
    scores: int

    @property
    def mean(self) -> float:
        """Geometric mean of the ratios; 1 without any."""
        return float(np.exp(self.ratios.mean())) if len(self.ratios) else 1.0


class Verdict(NamedTuple):
    """Who won, if it is decided, and why; `effect` is the treatment's mean logarithm less the control's."""

    winner: Literal["", "control", "treatment"]
    harmful: bool
    reason: str
    effect: Effect
    p_value: float
    p_boundary: float


def arm_of(scored: NDArray[np.int64], error: Values, bar: Values, least_scores: int) -> Arm:
    """An arm's links that count: with enough scores, and on targets that persistence ever missed.

    Parameters
    ----------
    scored
        Scored forecasts of each link, `[links]`.
    error, bar
        Sums of errors of what was published, and of persistence, `[links, targets]`.
    """
    known = scored >= least_scores
    moving = (bar > 0.0) & (error > 0.0) & known[:, None]
    some = moving.any(axis=1)
    moving, error, bar = moving[some], error[some], bar[some]
    logs = np.log(np.where(moving, error, 1.0)) - np.log(np.where(moving, bar, 1.0))
    return Arm(logs.sum(axis=1) / moving.sum(axis=1), int(scored[some].sum()))


def compare(control: Arm, treatment: Arm) -> Effect:
    """Welch's comparison of two arms; its error is not known with fewer than two links in either."""
    a, b = control.ratios, treatment.ratios
    if min(len(a), len(b)) < 2:
        return Effect(0.0, float("nan"), 0.0)
    spread = np.array([a.var(ddof=1) / len(a), b.var(ddof=1) / len(b)])
    total = float(spread.sum())
    value = float(b.mean() - a.mean())
    if total == 0.0:
        return Effect(value, 0.0, float(len(a) + len(b) - 2))
    freedom = total**2 / float((spread**2 / [len(a) - 1, len(b) - 1]).sum())
    return Effect(value, float(np.sqrt(total)), freedom)


def choose(
    rule: WinnerRule, control: Arm, treatment: Arm, numbers: Sequence[int], information: Sequence[int]
) -> Verdict:
    """Decide at one look.

    The treatment wins when its errors are smaller for certain and by enough; the control wins as soon as the
    treatment is worse for certain, and when the last look found no winner.

    Parameters
    ----------
    rule
        What is asked.
    control, treatment
        The arms.
    numbers
        Which of the planned looks were taken, this one last, from 1.
    information
        Scores that each look knew; they increase.

    Raises
    ------
    ValueError
        When there are no more scores than at the look before: do not look.
    """
    effect = compare(control, treatment)
    known = tuple(float(scores) for scores in information)
    times = tuple(min(number / rule.looks, 1.0) for number in numbers)
    bound = boundaries(known, times, rule.level)[-1]
    harm_bound = boundaries(known, times, 2.0 * rule.harm_level, "pocock")[-1]
    z, gain = effect.z(), 1.0 - float(np.exp(effect.value))
    p_value, p_boundary = 2.0 * float(ndtr(-abs(z))), 2.0 * float(ndtr(-bound))
    said = f"errors {-100.0 * gain:+.1f} %, p = {p_value:.2g}"
    least = min(len(control.ratios), len(treatment.ratios))
    last = numbers[-1] >= rule.looks
    if least < rule.least_links:
        reason = f"{least} links in the smaller arm, {rule.least_links} are needed"
        return Verdict("control" if last else "", False, reason, effect, p_value, p_boundary)
    if z > harm_bound:
        return Verdict("control", True, f"the treatment is worse: {said}", effect, p_value, p_boundary)
    if z < -bound and gain >= rule.min_gain:
        return Verdict("treatment", False, said, effect, p_value, p_boundary)
    if last:
        reason = f"the last look found no gain of {100.0 * rule.min_gain:g} % for certain: {said}"
        return Verdict("control", False, reason, effect, p_value, p_boundary)
    return Verdict("", False, f"not decided yet: {said}", effect, p_value, p_boundary)
