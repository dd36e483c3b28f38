"""What recorded rollouts teach of settings: how they differ, in this deployment, from what was measured elsewhere.

A rollout shows by how much one setting is better than another. What the optimizer had expected of the two, told what
its recommendation was told, is subtracted; of what is left a share is common to all partitions of a deployment, and the
rest is each one's own. The common part is a Gaussian process with the covariance of the measured contexts.

References
----------
C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), ch. 2, 5.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from online_models.optimizer.belief import LEVEL
from online_models.optimizer.prior import PERFORMANCE, Prior
from online_models.optimizer.space import GROUPS
from schemas.optimizer import PARAMETERS, SYSTEMS, OptimizerRecommendation, OptimizerRollout

F64 = NDArray[np.float64]

LEAST_ROLLOUTS: Final = 12
"""Fewer teach nothing that could be judged."""

SHARES: Final = (0.0, 0.25, 0.5, 0.75, 0.95)
"""Of the variance that may be common to all partitions: what is tried."""

LEAST_ERROR: Final = 0.01
"""Standard deviation of what a rollout shows that is reckoned with at least: hours differ."""

_REACH: Final = float(ndtri(0.975))


class Rollout(NamedTuple):
    """What a rollout showed.

    Parameters
    ----------
    time_ms
        When it ended.
    scope, system
        Whose, and of `GROUPS`.
    before, after
        Settings of the system's prior.
    surprise, error
        How much more was gained than had been expected, a logarithm, and its standard error.
    expected
        What had been, without anything learned.
    """

    time_ms: int
    scope: str
    system: str
    before: int
    after: int
    surprise: float
    error: float
    expected: float


class Fitted(NamedTuple):
    """The share that is common, and what to add to each setting's expected performance, `[s]` by system."""

    share: float
    gains: dict[str, F64]

    def expect(self, one: Rollout) -> float:
        """What it says of a rollout's surprise."""
        gains = self.gains[one.system]
        return float(gains[one.after] - gains[one.before])


def read_rollouts(
    recommendations: Iterable[OptimizerRecommendation], steps: Iterable[OptimizerRollout], priors: Mapping[str, Prior]
) -> list[Rollout]:
    """Each rollout's last test, in the order of their ends; those of which no stage was tested are left out."""
    told = {one.id: one for one in recommendations}
    last: dict[tuple[str, str], OptimizerRollout] = {}
    for step in steps:
        if step.effect_pct is not None and step.changes:
            last[step.recommendation_id, step.rollout_id] = step
    found = [
        _read(step, told[step.recommendation_id], priors) for step in last.values() if step.recommendation_id in told
    ]
    return sorted((one for one in found if one is not None), key=lambda one: one.time_ms)


def _read(step: OptimizerRollout, asked: OptimizerRecommendation, priors: Mapping[str, Prior]) -> Rollout | None:
    system = next((name for name in GROUPS if step.changes[0].parameter.startswith(name)), "")
    prior, low, effect = priors.get(system), step.effect_lower_pct, step.effect_pct
    if prior is None or effect is None or low is None or asked.state is None:
        return None
    in_force = _values(asked.state)[GROUPS[system]]
    changed: dict[str, float] = {c.parameter: c.after for c in step.changes}
    after = np.array([changed.get(name, value) for name, value in zip(SYSTEMS[system], in_force, strict=True)])
    old, new = prior.nearest(in_force), prior.nearest(after)
    if old == new:
        return None
    context = asked.context or {}
    about = np.array([context.get(name, np.nan) for name in prior.names])
    mean = prior.near(about, old, context.get(LEVEL, np.nan)).mean[:, PERFORMANCE]
    expected = float(mean[new] - mean[old])
    # A node's performance is the mean of all three systems, of which one was changed.
    gained, lowest = (len(GROUPS) * float(np.log1p(max(pct, -99.0) / 100.0)) for pct in (effect, low))
    error = max((gained - lowest) / _REACH, LEAST_ERROR)
    return Rollout(step.timestamp, step.scope, system, old, new, gained - expected, error, expected)


def _values(state: Mapping[str, float]) -> F64:
    """The parameters that were in force, `[9]`."""
    unit = np.array([state[f"parameter_{p.name}"] for p in PARAMETERS])
    low, high = (np.array([getattr(p, name) for p in PARAMETERS]) for name in ("minimum", "maximum"))
    return np.asarray(low + unit * (high - low))


def fit(rollouts: Sequence[Rollout], priors: Mapping[str, Prior]) -> Fitted:
    """What rollouts teach, with the share that makes them likeliest; of systems without any, nothing."""
    by_system = {name: [one for one in rollouts if one.system == name] for name in priors}
    known = {name: own for name, own in by_system.items() if own}
    share = max(SHARES, key=lambda one: sum(_likelihood(own, priors[name], one) for name, own in known.items()))
    gains = {name: np.zeros(len(prior.values)) for name, prior in priors.items()}
    for name, own in known.items():
        rows, surprise, total = _system(own, priors[name], share)
        gains[name] = share * rows.T @ np.linalg.solve(total, surprise)
    return Fitted(share, gains)


def foretell(rollouts: Sequence[Rollout], later: Sequence[Rollout], priors: Mapping[str, Prior]) -> F64:
    """What rollouts of the other partitions teach of each later one, `[later]`.

    A partition knows its own trials anyway, and what they show of it is not what all have in common. Where there is one
    partition only, its own rollouts are all there is.
    """
    alone = len({one.scope for one in (*rollouts, *later)}) == 1
    fitted = {
        scope: fit([one for one in rollouts if alone or one.scope != scope], priors)
        for scope in {one.scope for one in later}
    }
    return np.array([fitted[one.scope].expect(one) for one in later])


def _likelihood(own: Sequence[Rollout], prior: Prior, share: float) -> float:
    _, surprise, total = _system(own, prior, share)
    return -0.5 * float(surprise @ np.linalg.solve(total, surprise) + np.linalg.slogdet(total)[1])


def _system(own: Sequence[Rollout], prior: Prior, share: float) -> tuple[F64, F64, F64]:
    """Covariance of what rollouts show with all settings, `[n, s]`, their surprises `[n]` and their covariance."""
    before, after = (np.array([getattr(one, name) for one in own]) for name in ("before", "after"))
    covariance = prior.covariance[PERFORMANCE]
    rows = covariance[after] - covariance[before]
    between = rows[:, after] - rows[:, before]
    noise = np.array([one.error**2 for one in own]) + (1.0 - share) * np.diagonal(between)
    return rows, np.array([one.surprise for one in own]), share * between + np.diag(noise)
