"""When a challenger becomes champion: it was better on the labels that came, for certain, and nowhere worse.

Both answer the same events before their labels are known (prequentially), so each link gives one
paired difference of losses. The unit is the link, and looks are paid for, as in
experiments (`online_models.experiment.cluster`, `online_models.experiment.bound`).

References
----------
A. P. Dawid, Statistical theory: the prequential approach, JRSS A 147 (1984).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray
from scipy.special import ndtr

from online_models.experiment.bound import boundaries
from online_models.experiment.cluster import Effect, effect_of

LEAST_TYPE_LABELS: Final = 100
"""With fewer labels a link type is judged by whether it is worse for certain."""


class PromotionRule(Struct, frozen=True, kw_only=True):
    """What is asked of a challenger.

    Parameters
    ----------
    least_labels
        Labels before anything is decided.
    level
        One-sided, of all looks together: the probability that a challenger that is no better is promoted.
    looks
        How often it is looked at, at most; it is given up after the last.
    worst_type
        How much worse it may be on any link type: a share of the champion's loss, or of all
        events where the loss is 0 or 1.
    relative
        Whether losses are amounts (of errors in Mbps, of regret), or 0 and 1.
    """

    least_labels: int = 5_000
    level: float = 0.01
    looks: int = 28
    worst_type: float = 0.01
    relative: bool = False


class Paired(NamedTuple):
    """Losses so far, by link.

    Parameters
    ----------
    kind
        Link type of each link, `[g]`.
    labels
        Labels of each link, `[g]`.
    champion, challenger
        Sums of losses over the same labels, `[g]`.
    """

    kind: Sequence[str]
    labels: NDArray[np.float64]
    champion: NDArray[np.float64]
    challenger: NDArray[np.float64]


class Decision(NamedTuple):
    """Whether to promote, and why; `effect` is the challenger's loss less the champion's."""

    promote: bool
    give_up: bool
    reason: str
    effect: Effect
    p_value: float
    p_boundary: float


def decide(rule: PromotionRule, paired: Paired, information: Sequence[float]) -> Decision:
    """Decide at one look.

    Parameters
    ----------
    rule
        What is asked.
    paired
        The losses.
    information
        Labels that each look had, this one last; they increase.

    Raises
    ------
    ValueError
        When there are no more labels than at the look before: do not look.
    """
    look = len(information)
    effect = _effect(rule, paired.labels, paired.champion, paired.challenger)
    times = tuple(min((k + 1) / rule.looks, 1.0) for k in range(look))
    bound = boundaries(tuple(information), times, 2.0 * rule.level)[-1]
    z = effect.z()
    obstacle = _obstacle(rule, paired, -z, bound)
    last = look >= rule.looks
    reason = obstacle or f"loss {effect.value:+.3g} over {int(paired.labels.sum())} labels"
    return Decision(not obstacle, bool(obstacle) and last, reason, effect, float(ndtr(z)), float(ndtr(-bound)))


def _obstacle(rule: PromotionRule, paired: Paired, z: float, bound: float) -> str:
    """What stands against promotion; empty if nothing does."""
    labels = int(paired.labels.sum())
    if labels < rule.least_labels:
        return f"{labels} of {rule.least_labels} labels"
    if z <= bound:
        return f"not better for certain: z {z:.2f}, needed {bound:.2f}"
    kinds = np.array(paired.kind)
    for kind in sorted(set(paired.kind)):
        own = kinds == kind
        effect = _effect(rule, paired.labels[own], paired.champion[own], paired.challenger[own])
        known = paired.labels[own].sum() >= LEAST_TYPE_LABELS
        if effect.value > rule.worst_type and (known or effect.z(rule.worst_type) > bound):
            return f"worse on {kind} links by {effect.value:.3g}, {rule.worst_type:g} is allowed"
    return ""


def _effect(
    rule: PromotionRule,
    labels: NDArray[np.float64],
    champion: NDArray[np.float64],
    challenger: NDArray[np.float64],
) -> Effect:
    return effect_of(challenger - champion, champion if rule.relative else labels)
