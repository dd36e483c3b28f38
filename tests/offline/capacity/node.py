"""Nodes whose latency follows what they use by a law that is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

F64 = NDArray[np.float64]

LAWS: Mapping[str, Callable[[F64], F64]] = {
    "queue": lambda cpu: 40 + 30 * cpu / (100 - cpu),
    "line": lambda cpu: 40 + 1.5 * cpu,
}
"""Mean latency in ms at a CPU utilisation in %."""


def wander(rng: np.random.Generator, n: int, memory: float) -> F64:
    """An AR(1) of variance one."""
    return np.asarray(lfilter([np.sqrt(1 - memory**2)], [1, -memory], rng.standard_normal(n)))


def measure(law: str, seed: int, days: int = 28) -> tuple[F64, dict[str, F64]]:
    """Hours of a node whose latency follows its CPU: latency, and utilisation by resource.

    Its memory wanders by itself, its storage fills up.
    """
    rng, n = np.random.default_rng(seed), 24 * days
    t = np.arange(n) / 24
    cpu = np.clip(50 + 18 * np.sin(2 * np.pi * t) + 6 * wander(rng, n, 0.8), 1, 99)
    memory = np.clip(55 + 8 * wander(rng, n, 0.9), 1, 99)
    latency = LAWS[law](cpu) + 10 * wander(rng, n, 0.7)
    return latency, {"cpu": cpu, "memory": memory, "storage": 58 + 0.2 * t}
