"""A metric that stops moving on the side that hurts is found; what repeats itself by nature is not."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.anomaly.baseline import N_METRICS
from online_models.anomaly.flatline import FLATLINE, START_CHANCE, flatness, heed_flatlines, learn_steps
from online_models.slot import row_dtype
from schemas.system import METRICS

CPU, MEMORY, RATIO = (METRICS.index(name) for name in ("cpu_usage", "memory_usage", "compression_ratio"))
NODE = row_dtype(*FLATLINE)


def fed(x: np.ndarray) -> np.ndarray:
    """A node that saw records `[n, metric]`."""
    node, common = np.zeros(1, NODE), np.full((N_METRICS, 2), START_CHANCE)
    for k, row in enumerate(x):
        learn_steps(node[0], common, k, row)
    return node


def noise(n: int, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.zeros((n, N_METRICS))
    for k in range(1, n):
        x[k] = 0.92 * x[k - 1] + 0.4 * rng.normal(size=N_METRICS)
    return 50 + 5 * x


def test_noise_is_not_still() -> None:
    x = noise(3000)
    node, common = np.zeros(1, NODE), np.full((N_METRICS, 2), START_CHANCE)
    worst = 0.0
    for k, row in enumerate(x):
        learn_steps(node[0], common, k, row)
        worst = max(worst, *(flatness(evidence) for evidence in node[0]["evidence"])) if k > 200 else 0.0
    assert worst < 4.0


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_what_stands_is_found_within_a_minute_and_a_half(seed: int) -> None:
    x = noise(1000, seed)
    x[980:, RATIO] = 40.0 + 0.05 * (x[980:, RATIO] - 50)
    node = fed(x)
    assert flatness(node[0]["evidence"][RATIO]) > 5.0
    assert flatness(np.delete(node[0]["evidence"], RATIO).max()) < 4.0


def test_what_often_repeats_needs_a_longer_run() -> None:
    x = noise(3000)
    x[:, RATIO] = np.round(x[:, RATIO] / 20) * 20
    node = fed(x)
    assert flatness(node[0]["evidence"][RATIO]) < 3.0


@pytest.mark.parametrize(
    ("z", "evidence", "expected"),
    [
        ({RATIO: -1.5}, {RATIO: 30.0}, {RATIO: -7.2}),
        ({RATIO: -0.5}, {RATIO: 30.0}, {}),
        ({RATIO: 1.5}, {RATIO: 30.0}, {}),
        ({RATIO: -9.0}, {RATIO: 30.0}, {}),
        ({CPU: 1.5, MEMORY: 0.0}, {CPU: 30.0, MEMORY: 30.0}, {}),
        ({CPU: 1.5, MEMORY: 1.2}, {CPU: 30.0, MEMORY: 0.0}, {}),
        ({CPU: 1.5, MEMORY: 1.2}, {CPU: 30.0, MEMORY: 20.0}, {CPU: 8.5, MEMORY: 8.5}),
    ],
)
def test_when_standing_counts(z: dict[int, float], evidence: dict[int, float], expected: dict[int, float]) -> None:
    node = np.zeros(1, NODE)
    deviation = np.zeros(N_METRICS)
    for j, value in z.items():
        deviation[j] = value
    for j, value in evidence.items():
        node[0]["evidence"][j] = value
    wanted = deviation.copy()
    for j, value in expected.items():
        wanted[j] = value
    heed_flatlines(node[0], deviation)
    assert deviation == pytest.approx(wanted, abs=0.05)
