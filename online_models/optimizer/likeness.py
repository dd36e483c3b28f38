"""What other contexts say of one that is known by its features: a kernel smoother over the features.

How far each feature reaches is learned: by how wrong each measured context's settings are told
from the others'. A feature that tells nothing reaches everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

REACHES: Final = (0.2, 0.35, 0.6, 1.0, 1.8, 3.5, 8.0, 1e3)
"""How far apart contexts may be to say something of each other: what is tried, in standard deviations of a feature."""

RIDGES: Final = (0.003, 0.01, 0.03, 0.1, 0.3)
"""Share of a context's variance that its features do not tell: what is tried."""

ROUNDS: Final = 2
LEAST_BETTER: Final = 4.0
"""Errors less by this over the number of contexts are luck."""

PARTS: Final = 30
"""Principal components of the settings' performance that the reaches are judged on."""

NEIGHBOURS: Final = 30.0
"""How many contexts' worth of errors tell how wrong the one at hand may be."""

ERRORS_FROM: Final = 1.5
"""Errors are looked for that much further away than what is said."""


class Reach(NamedTuple):
    """How far each feature reaches, `[feature]` in standard deviations, and the share that features do not tell."""

    features: F64
    ridge: float

    @classmethod
    def learn(cls, surface: F64, features: F64) -> Reach:
        """What tells one metric `[context, s]` best of contexts left out."""
        scaled = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-9)
        return cls(*_fit(scaled, surface))


@dataclass(frozen=True, slots=True)
class Likeness:
    """How contexts resemble each other.

    Parameters
    ----------
    middle, scale
        Of the features.
    scaled
        Features, `[context, feature]`, over what each reaches.
    solved, errors
        Weights of the smoother and what leaving each context out was wrong by, `[context, s, metric]`; errors
        are less their level, which is unknown anyway.
    mean
        Of all contexts, `[s, metric]`.
    """

    middle: F64
    scale: F64
    scaled: F64
    solved: F64
    errors: F64
    mean: F64

    @classmethod
    def learn(cls, surfaces: F64, features: F64, known: Reach) -> Likeness:
        """From logarithms `[context, s, metric]` and features `[context, feature]`."""
        middle, spread = features.mean(axis=0), features.std(axis=0) + 1e-9
        reach, ridge = known
        scaled = (features - middle) / (spread * reach)
        mean = surfaces.mean(axis=0)
        inverse = _inverse(scaled, ridge)
        solved = np.tensordot(inverse, surfaces - mean, axes=1)
        errors = solved / np.diagonal(inverse)[:, None, None]
        return cls(middle, spread * reach, scaled, solved, errors - errors.mean(axis=1, keepdims=True), mean)

    def tell(self, about: F64) -> tuple[F64, F64]:
        """What to expect, `[s, metric]`, and how much each context's errors count, `[context]`, in all 1."""
        distance = (((about - self.middle) / self.scale - self.scaled) ** 2).sum(axis=1)
        expected = self.mean + np.tensordot(_kernel(distance) + 1.0, self.solved, axes=1)
        return expected, _weigh(distance / ERRORS_FROM**2)


def _fit(scaled: F64, surface: F64) -> tuple[F64, float]:
    """Each feature's reach and the ridge that leave least unsaid of contexts left out; one at a time, in turn."""
    relative = surface - surface.mean(axis=1, keepdims=True)
    left, size, _ = np.linalg.svd(relative - relative.mean(axis=0), full_matrices=False)
    parts = left[:, :PARTS] * size[:PARTS]

    def judge(reach: F64, ridge: float) -> float:
        inverse = _inverse(scaled / reach, ridge)
        return float((((inverse @ parts) / np.diagonal(inverse)[:, None]) ** 2).sum())

    reach, ridge = np.full(scaled.shape[1], 1.8), 0.1
    least = judge(reach, ridge)
    worth = 1.0 - LEAST_BETTER / len(scaled)
    for _ in range(ROUNDS):
        for k in range(len(reach)):
            for one in REACHES:
                tried = np.where(np.arange(len(reach)) == k, one, reach)
                found = judge(tried, ridge)
                if found < least * worth:
                    least, reach = found, tried
        for other in RIDGES:
            found = judge(reach, other)
            if found < least * worth:
                least, ridge = found, other
    return reach, ridge


def _inverse(scaled: F64, ridge: float) -> F64:
    distance = ((scaled[:, None] - scaled[None]) ** 2).sum(axis=2)
    # 1: a mean common to all.
    return np.asarray(np.linalg.inv(_kernel(distance) + ridge * np.eye(len(scaled)) + 1.0), np.float64)


def _kernel(square: F64) -> F64:
    """Matern 3/2 of squared distances: settings fall off sharply somewhere, which a smoother kernel cannot follow."""
    distance = np.sqrt(3.0 * square)
    return np.asarray((1.0 + distance) * np.exp(-distance))


def _weigh(square: F64) -> F64:
    """Weights that fall off with the distance, no faster than leaves some `NEIGHBOURS` contexts."""
    square = square - square.min()
    wanted = min(NEIGHBOURS, 0.7 * len(square))
    low, high = 1.0, 1e6
    for _ in range(30):
        width = float(np.sqrt(low * high))
        weight = np.exp(-0.5 * square / width)
        if weight.sum() ** 2 / (weight**2).sum() < wanted:
            low = width
        else:
            high = width
    weight = np.exp(-0.5 * square / high)
    return np.asarray(weight / weight.sum())
