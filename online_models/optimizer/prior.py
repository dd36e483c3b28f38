"""What tuning elsewhere teaches about tuning here: a Gaussian process over measured settings.

Its mean and covariance are those of the logarithms measured in other contexts, so that it knows which
settings go together without being told a kernel; a Matern kernel stands for what those contexts did
not show. Everything is relative: a level common to all settings is unknown.

References
----------
C. E. Rasmussen, C. K. I. Williams, Gaussian Processes for Machine Learning (2006), ch. 2.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.optimizer.likeness import Likeness, Reach
from schemas.error import ModelRejected

F64 = NDArray[np.float64]

PERFORMANCE, COST, CPU, MEMORY = range(4)

UNSHOWN: Final = 25.0
MOST_UNSHOWN: Final = 0.2
"""Share of the variance that measured contexts do not show: the former over how many there are, at most the latter.

With .05 a few trials made settings of compression certain that were not (60 contexts): 93 instead of 96 % of 180
contexts reached their optimum. With .3 forecasts lose; for consensus (500 contexts) it makes no difference."""

LENGTH: Final = 0.5
"""Of the Matern kernel, in units of each parameter's grid."""

DEPTH: Final = 3.0
"""How far below the best one, as a logarithm, a setting is told from others: beyond that it is merely bad."""

BEYOND: Final = 0.1
"""How far outside of what was measured, as a share of its extent, a feature still says something."""

REMEMBERED: Final = 8
"""Settings in force for which likeness stays learned: some 10 MB each on consensus."""

_LEVEL: Final = 4.0


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
    whole
        Whether all features of the context at hand are told.
    """

    values: F64
    mean: F64
    covariance: F64
    surfaces: F64
    features: F64
    names: tuple[str, ...] = ()
    whole: bool = False

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

        Contexts are compared by what is told of this one. How far that reaches is learned for just those features,
        for a level by what all settings have in the mean, so that it holds for whichever is in force.
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
        likeness = self._likeness_of(known, setting if known[-1] else -1, features)
        expected, weight = likeness.tell(told[known])
        covariance = _covariance_of(self.values, likeness.errors * np.sqrt(len(weight) * weight)[:, None, None])
        return replace(self, mean=expected, covariance=covariance, whole=bool(known[:-1].all()))

    def _likeness_of(self, known: NDArray[np.bool_], setting: int, features: F64) -> Likeness:
        """Learned once for each setting in force, and its reach once for each kind of what is told."""
        kind = tuple(known.tolist())
        found = self._likeness.get((kind, setting))
        if found is None:
            if kind not in self._reach:
                usual = np.column_stack([self.features, self.surfaces[..., PERFORMANCE].mean(axis=1)])
                self._reach[kind] = Reach.learn(self.surfaces[..., PERFORMANCE], usual[:, known])
            if len(self._likeness) == REMEMBERED:
                del self._likeness[next(iter(self._likeness))]
            found = Likeness.learn(self.surfaces, features[:, known], self._reach[kind])
            self._likeness[kind, setting] = found
        return found

    @cached_property
    def _likeness(self) -> dict[tuple[tuple[bool, ...], int], Likeness]:
        """What was learned, by which features are known and the setting whose level is; it follows from the rest."""
        return {}

    @cached_property
    def _reach(self) -> dict[tuple[bool, ...], Reach]:
        return {}

    def shifted(self, gain: F64) -> Prior:
        """The same, with settings expected to perform better by logarithms `[s]`."""
        mean = self.mean.copy()
        mean[:, PERFORMANCE] += gain
        return replace(self, mean=mean)

    def nearest(self, value: Sequence[float] | F64) -> int:
        """The setting next to some values."""
        scale = np.log(self.values.max(axis=0) / self.values.min(axis=0))
        return int(np.argmin((np.log(self.values / np.asarray(value)) ** 2 / scale**2).sum(axis=1)))


def _covariance_of(values: F64, errors: F64) -> F64:
    """Of each metric, `[metric, s, s]`: what the errors of contexts, `[context, s, metric]`, show and do not show."""
    columns = np.ascontiguousarray(errors.transpose(2, 0, 1)) / np.sqrt(len(errors))
    covariance = columns.transpose(0, 2, 1) @ columns
    sd = np.sqrt(np.einsum("mss->ms", covariance) + 1e-6)
    unshown = min(UNSHOWN / len(errors), MOST_UNSHOWN)
    return np.asarray(covariance + unshown * sd[:, :, None] * sd[:, None, :] * _matern(values) + _LEVEL)


def _matern(values: F64) -> F64:
    """Matern 3/2 between settings, on logarithms scaled to the grid's extent."""
    place = np.log(values)
    extent = place.max(axis=0) - place.min(axis=0)
    place = (place - place.min(axis=0)) / np.where(extent > 0, extent, 1.0)
    distance = np.sqrt(((place[:, None, :] - place[None, :, :]) ** 2).sum(axis=2)) * np.sqrt(3.0) / LENGTH
    found: NDArray[Any] = (1.0 + distance) * np.exp(-distance)
    return found
