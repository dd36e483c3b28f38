"""What tuning elsewhere teaches about tuning here: a Gaussian process over measured settings.

Its mean and covariance are those of the logarithms measured in other contexts, so that it knows which
settings go together without being told a kernel; a Matern kernel stands for what those contexts did
not show. Conditioned on a few trials it says of every setting what to expect, and how surely: that is
what a safe choice needs. Everything is relative: a level common to all settings is unknown.

References
----------
C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), ch. 2.
Y. Sui et al., Safe exploration for optimization with Gaussian processes, ICML 2015.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from online_models.optimizer.likeness import Likeness
from schemas.error import ModelRejected
from schemas.optimizer import MAX_COST_INCREASE_PCT, MAX_CPU_PCT, MAX_MEMORY_PCT

F64 = NDArray[np.float64]

PERFORMANCE, COST, CPU, MEMORY = range(4)

NOVELTY: Final = 0.05
"""Share of the variance that the measured contexts do not show."""

LENGTH: Final = 0.5
"""Of the Matern kernel, in units of each parameter's grid."""

DEPTH: Final = 3.0
"""How far below the best one, as a logarithm, a setting is told from others: beyond that it is merely bad."""

NOISE: Final = np.array([0.03, 0.012, 0.012, 0.012])
"""Standard deviations of a trial's logarithms that are reckoned with, by metric."""

SAFETY: Final = 0.3
"""How many standard deviations off a setting must still be good enough to be tried."""

CAUTION: Final = 1.0
"""The same where a context's features are not told, or not all of them."""

BEYOND: Final = 0.1
"""How far outside of what was measured, as a share of its extent, a feature still says something."""

PATIENCE: Final = 2
DARING: Final = 0.0
DARING_GAIN: Final = 0.03
"""After so many trials of the best one in a row, so many deviations suffice for so great an expected improvement."""

LIMIT_SAFETY: Final = 0.0
"""The same for soft limits, which have their own margin."""

MAX_DROP: Final = 0.1
"""Of performance below the best known that a trial may risk: 10 % is what counts as unsafe.

This and the constants around it were chosen on training contexts only: every third of HDE's and PBA's and every
sixth of the consensus contexts judged what was learned from the others."""

MARGIN: Final = 0.98
"""Of a soft limit that is used. In a fifth of the consensus contexts the best setting costs 9.7 % more, of 10 %
allowed: 97 % would leave it out (80 instead of 90 % of runs on contexts set aside), 99.5 % finds no more."""

KEPT: Final = 0.995
"""Of a soft limit, below which a tried setting may be kept."""

LEAST_GAIN: Final = 0.0005
"""Expected improvement under which nothing more is tried."""

LEAST_TOLD: Final = 0.002
"""Share of a promising setting's variance that trying a safe one has to remove."""

DOUBT: Final = 3.0
"""By how much trials must be likelier, as a logarithm: twenty times."""

REMEMBERED: Final = 4
"""Kinds of what is told, for which likeness stays learned: some 10 MB each on consensus."""

_LEVEL: Final = 4.0


class Limits(NamedTuple):
    """Soft limits; `cost_pct` is an increase over the start."""

    memory_pct: float = MAX_MEMORY_PCT
    cpu_pct: float = MAX_CPU_PCT
    cost_pct: float = MAX_COST_INCREASE_PCT


class Trials(NamedTuple):
    """What was tried: settings `[n]`, and the logarithms seen, `[n, metric]`. The first one is where tuning began."""

    setting: NDArray[np.intp]
    seen: F64


class Belief(NamedTuple):
    """Of every setting, `[s, metric]`: expected logarithm, and its standard deviation."""

    mean: F64
    sd: F64


class Choice(NamedTuple):
    """A setting, and what is expected of it against the best one tried, as logarithms."""

    setting: int
    gain: float
    sd: float
    improvement: float


@dataclass(frozen=True)
class Prior:
    """Beliefs before any trial.

    Parameters
    ----------
    values
        The settings, `[s, 3]`.
    mean
        `[s, metric]`.
    covariance
        `[metric, s, s]`.
    surfaces, features
        What it was made of, `[context, s, metric]` and `[context, feature]`.
    names
        Of the features.
    safety
        How many standard deviations off a setting must still be good enough to be tried.
    """

    values: F64
    mean: F64
    covariance: F64
    surfaces: F64
    features: F64
    names: tuple[str, ...] = ()
    safety: float = CAUTION

    @classmethod
    def learn(cls, values: F64, surfaces: F64, features: F64, names: Sequence[str] = ()) -> Prior:
        """Beliefs from measured contexts, of a context of which nothing is known.

        Parameters
        ----------
        values
            `[s, 3]`.
        surfaces
            Logarithms `[context, s, metric]`.
        features
            `[context, feature]`.
        names
            Of the features.
        """
        floored = surfaces.copy()
        performance = floored[..., PERFORMANCE]
        np.maximum(performance, performance.max(axis=1, keepdims=True) - DEPTH, out=performance)
        mean = floored.mean(axis=0)
        off = floored - mean
        covariance = _covariance_of(values, off - off.mean(axis=1, keepdims=True))
        return cls(values, mean, covariance, floored, features, tuple(names))

    @classmethod
    def read(cls, content: bytes) -> Prior:
        """Beliefs of a grid that `dwcp optimize grid` wrote, all of its contexts.

        Raises
        ------
        ModelRejected
            When it is none.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as held:
                log = held["log"] * float(held["quantum"]) + held["mean"].astype(np.float64)
                axes = [held[f"axis_{k}"] for k in range(3)]
                features = held["context"].astype(np.float64)
                names = held["features"].tolist()
        except (OSError, ValueError, KeyError) as exc:
            raise ModelRejected(f"{len(content)} bytes are no grid of the optimizer: {exc}") from exc
        values = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        return cls.learn(values, log.reshape(len(log), len(values), -1), features, names)

    def near(self, about: F64, setting: int = 0, level: float = np.nan) -> Prior:
        """The same, with contexts like this one counting more.

        Contexts are compared by what is told of this one, and how far that reaches is learned for just those features.
        What lies outside of what was measured is not taken as told; if nothing is, these beliefs are returned.

        Parameters
        ----------
        about
            `[feature]`; NaN where it is not known.
        setting, level
            The setting in force and its performance, a logarithm in the grid's unit; NaN if it is not known in
            that unit.
        """
        features = np.column_stack([self.features, self.surfaces[:, setting, PERFORMANCE]])
        told = np.append(about, level)
        low, high = features.min(axis=0), features.max(axis=0)
        slack = BEYOND * (high - low)
        known = (told >= low - slack) & (told <= high + slack)
        if not known.any():
            return self
        key = tuple(known.tolist()), setting if known[-1] else -1
        likeness = self._likeness.get(key)
        if likeness is None:
            if len(self._likeness) == REMEMBERED:
                self._likeness.clear()
            likeness = self._likeness[key] = Likeness.learn(self.surfaces, features[:, known], PERFORMANCE)
        expected, weight = likeness.tell(told[known])
        covariance = _covariance_of(self.values, likeness.errors * np.sqrt(len(weight) * weight)[:, None, None])
        safety = SAFETY if known[:-1].all() else CAUTION
        return replace(self, mean=expected, covariance=covariance, safety=safety)

    @cached_property
    def _likeness(self) -> dict[tuple[tuple[bool, ...], int], Likeness]:
        """What was learned, by which features are known and the setting whose level is; it follows from the rest."""
        return {}

    def nearest(self, value: Sequence[float] | F64) -> int:
        """The setting next to some values."""
        scale = np.log(self.values.max(axis=0) / self.values.min(axis=0))
        return int(np.argmin((np.log(self.values / np.asarray(value)) ** 2 / scale**2).sum(axis=1)))

    def condition(self, trials: Trials) -> Belief:
        """Beliefs after some trials."""
        mean, sd = np.empty_like(self.mean), np.empty_like(self.mean)
        at = trials.setting
        for metric in range(self.mean.shape[1]):
            covariance = self.covariance[metric]
            known = covariance[np.ix_(at, at)] + NOISE[metric] ** 2 * np.eye(len(at))
            gain = np.linalg.solve(known, covariance[at])
            mean[:, metric] = self.mean[:, metric] + (trials.seen[:, metric] - self.mean[at, metric]) @ gain
            left = np.diagonal(covariance) - (covariance[at] * gain).sum(axis=0)
            sd[:, metric] = np.sqrt(np.maximum(left, 1e-12))
        return Belief(mean, sd)

    def doubted(self, trials: Trials, untold: Prior) -> bool:
        """Whether trials are so much likelier under other beliefs that what these were told must be wrong."""
        return self._evidence(trials) < untold._evidence(trials) - DOUBT

    def _evidence(self, trials: Trials) -> float:
        """Logarithm of the likelihood of trials' performance and cost, against the first trial's."""
        at, found = trials.setting, 0.0
        for metric in (PERFORMANCE, COST):
            known = self.covariance[metric][np.ix_(at, at)] + NOISE[metric] ** 2 * np.eye(len(at))
            between = known[1:, 1:] - known[1:, :1] - known[:1, 1:] + known[0, 0]
            off = trials.seen[:, metric] - self.mean[at, metric]
            off = off[1:] - off[0]
            found -= 0.5 * float(off @ np.linalg.solve(between, off) + np.linalg.slogdet(between)[1])
        return found

    def incumbent(self, trials: Trials, belief: Belief, limits: Limits) -> int:
        """The best setting that was tried and kept the soft limits; the first one if none did."""
        tried = np.unique(trials.setting)
        kept = tried[self._allowed(trials, belief, limits, 0.0, KEPT)[tried]]
        if not len(kept):
            return int(trials.setting[0])
        return int(kept[np.argmax(belief.mean[kept, PERFORMANCE])])

    def choose(self, trials: Trials, limits: Limits, belief: Belief | None = None) -> Choice:
        """The safe setting with the greatest expected improvement; the incumbent when none is worth a trial."""
        belief = belief or self.condition(trials)
        best = self.incumbent(trials, belief, limits)
        gain = belief.mean[:, PERFORMANCE] - belief.mean[best, PERFORMANCE]
        # Against the incumbent, what both have in common is no uncertainty.
        own, shared = self._covariance(trials, best)
        sd = np.sqrt(np.maximum(own + own[best] - 2.0 * shared, 1e-12))
        allowed = self._allowed(trials, belief, limits, LIMIT_SAFETY)
        safe = allowed & (gain - self.safety * sd >= np.log(1.0 - MAX_DROP))
        improvement = np.where(allowed, _expected_improvement(gain, sd), -1.0)
        if not self._allowed(trials, belief, limits, 0.0, KEPT)[best]:
            # What is in force breaks a soft limit: first out of there, to where performance should suffer least.
            kept = allowed if allowed.any() else self._allowed(trials, belief, limits, 0.0)
            if kept.any():
                at = int(np.argmax(np.where(kept, gain - self.safety * sd, -np.inf)))
                return Choice(at, float(gain[at]), float(sd[at]), 1.0)
        safe[best] = True
        at = int(np.argmax(np.where(safe, improvement, -1.0)))
        if improvement[at] < LEAST_GAIN:
            at = self._explore(trials, safe, improvement, own, best)
            if at == best and len(trials.setting) >= PATIENCE and (trials.setting[-PATIENCE:] == best).all():
                at = _dare(gain, sd, improvement, best)
        return Choice(at, float(gain[at]), float(sd[at]), float(max(improvement[at], 0.0)))

    def _explore(self, trials: Trials, safe: NDArray[np.bool_], improvement: F64, own: F64, best: int) -> int:
        """The safe setting that tells most of the most promising one; the incumbent when that tells too little."""
        target = int(np.argmax(improvement))
        if improvement[target] < LEAST_GAIN:
            return best
        _, shared = self._covariance(trials, target)
        told = np.where(safe, shared**2 / (own + NOISE[PERFORMANCE] ** 2) / own[target], 0.0)
        found = int(np.argmax(told))
        return found if told[found] > LEAST_TOLD else best

    def _covariance(self, trials: Trials, other: int, metric: int = PERFORMANCE) -> tuple[F64, F64]:
        """Every setting's variance of a metric, and covariance with another one's, given the trials."""
        covariance, at = self.covariance[metric], trials.setting
        gain = np.linalg.solve(covariance[np.ix_(at, at)] + NOISE[metric] ** 2 * np.eye(len(at)), covariance[at])
        own = np.diagonal(covariance) - (covariance[at] * gain).sum(axis=0)
        return np.maximum(own, 1e-12), covariance[other] - covariance[at, other] @ gain

    def _allowed(
        self, trials: Trials, belief: Belief, limits: Limits, deviations: float, margin: float = MARGIN
    ) -> NDArray[np.bool_]:
        """Settings that keep a part of the soft limits with so many standard deviations to spare."""
        high = belief.mean + deviations * belief.sd
        # Cost is an increase over the start's: what both have in common is no uncertainty here either.
        start = int(trials.setting[0])
        dearer = belief.mean[:, COST] - belief.mean[start, COST]
        if deviations:
            own, shared = self._covariance(trials, start, COST)
            dearer = dearer + deviations * np.sqrt(np.maximum(own + own[start] - 2.0 * shared, 0.0))
        return np.asarray(
            (high[:, CPU] <= np.log(margin * limits.cpu_pct))
            & (high[:, MEMORY] <= np.log(margin * limits.memory_pct))
            & (dearer <= np.log1p(margin * limits.cost_pct / 100.0))
        )


def _dare(gain: F64, sd: F64, improvement: F64, best: int) -> int:
    """After a while without anything safe to try, the greatest improvement at a greater risk."""
    worth = (improvement >= DARING_GAIN) & (gain - DARING * sd >= np.log(1.0 - MAX_DROP))
    return int(np.argmax(np.where(worth, improvement, -1.0))) if worth.any() else best


def _covariance_of(values: F64, errors: F64) -> F64:
    """Of each metric, `[metric, s, s]`: what the errors of contexts, `[context, s, metric]`, show and do not show."""
    columns = np.ascontiguousarray(errors.transpose(2, 0, 1)) / np.sqrt(len(errors))
    covariance = columns.transpose(0, 2, 1) @ columns
    sd = np.sqrt(np.einsum("mss->ms", covariance) + 1e-6)
    return np.asarray(covariance + NOVELTY * sd[:, :, None] * sd[:, None, :] * _matern(values) + _LEVEL)


def _expected_improvement(gain: F64, sd: F64) -> F64:
    z = gain / sd
    return np.asarray(gain * ndtr(z) + sd * np.exp(-0.5 * z * z) / np.sqrt(2.0 * np.pi))


def _matern(values: F64) -> F64:
    """Matern 3/2 between settings, on logarithms scaled to the grid's extent."""
    place = np.log(values)
    extent = place.max(axis=0) - place.min(axis=0)
    place = (place - place.min(axis=0)) / np.where(extent > 0, extent, 1.0)
    distance = np.sqrt(((place[:, None, :] - place[None, :, :]) ** 2).sum(axis=2)) * np.sqrt(3.0) / LENGTH
    found: NDArray[Any] = (1.0 + distance) * np.exp(-distance)
    return found
