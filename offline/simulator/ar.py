"""First-order autoregressive noise: what a metric does around its level."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

F64 = NDArray[np.float64]


class AutoRegression:
    """Stationary AR(1) series of unit variance, `x[k+1] = phi x[k] + sqrt(1-phi^2) e`.

    Parameters
    ----------
    rng
        Source of the innovations.
    time_constant
        Steps after which the autocorrelation is 1/e; array, broadcast against `shape`.
    shape
        Shape of the state.
    """

    def __init__(self, rng: Generator, time_constant: F64, shape: tuple[int, ...]) -> None:
        self._rng = rng
        self.phi = np.exp(-1.0 / np.asarray(time_constant, np.float64))
        self.state: F64 = rng.standard_normal(shape)

    def step(self) -> F64:
        """Move one step on and return the new state (a new array)."""
        innovation = self._rng.standard_normal(self.state.shape)
        self.state = self.phi * self.state + np.sqrt(1 - self.phi**2) * innovation
        return self.state

    def ahead(self, rng: Generator, steps: int, draws: int, index: NDArray[np.intp]) -> F64:
        """Draws of the last axis's entries `index`, `steps` from now, given the state now.

        Returns
        -------
        Array of shape `[draws, *shape[:-1], len(index)]`.
        """
        state = self.state[..., index]
        phi = np.broadcast_to(self.phi, self.state.shape)[..., index] ** steps
        return np.asarray(phi * state + np.sqrt(1 - phi**2) * rng.standard_normal((draws, *state.shape)))
