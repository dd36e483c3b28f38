"""The job as an agent of this project: `python -m faust -A tests.bench.peers.ours worker`."""

from __future__ import annotations

import os

import numpy as np
from numba import njit
from numpy.typing import NDArray

from schemas.batch import Batch, Output, Result
from schemas.topic import NETWORK_FEATURES, NETWORK_KEYED
from streams.agent import declare
from streams.application import application
from streams.metric import Gauges
from tests.bench.peers.job import METRICS, WARM, WINDOWS

_LONGEST = WINDOWS[-1]


class LinksState:
    """What is kept of a partition's links, in arrays."""

    def __init__(self) -> None:
        self._rows: dict[bytes | None, int] = {}
        self._recent = np.zeros((64, len(METRICS), _LONGEST))
        self._past = np.zeros((64, len(METRICS), 2))
        self._seen = np.zeros(64, np.int64)

    @classmethod
    def warm(cls) -> None:
        """Compile."""
        z = np.zeros(1, np.int64)
        _apply(z, np.zeros((1, 4)), np.zeros((1, 4, _LONGEST)), np.zeros((1, 4, 2)), z)

    def gauges(self) -> Gauges:
        """None."""
        return {}

    def step(self, batch: Batch) -> Result:
        """Answer every sample."""
        rows = self._rows
        link = np.array([rows.setdefault(key, len(rows)) for key in batch.key], np.int64)
        while len(rows) > len(self._seen):
            self._recent, self._past, self._seen = (
                np.concatenate([a, np.zeros_like(a)]) for a in (self._recent, self._past, self._seen)
            )
        values = np.column_stack([batch.columns[name] for name in METRICS])
        names = ("timestamp", "node_id", "peer_id")
        columns = {name: batch.columns[name] for name in names} | {
            "feature_schema": ["peer"] * len(batch),
            "features": _apply(link, values, self._recent, self._past, self._seen),
        }
        return Result({NETWORK_FEATURES: Output(np.arange(len(batch)), columns)})


@njit(cache=True)  # type: ignore[untyped-decorator]
def _apply(
    link: NDArray[np.int64],
    values: NDArray[np.float64],
    recent: NDArray[np.float64],
    past: NDArray[np.float64],
    seen: NDArray[np.int64],
) -> NDArray[np.float64]:
    found = np.zeros((len(link), 16))
    for row in range(len(link)):
        one = link[row]
        n = seen[one]
        score = 0.0
        for m in range(4):
            value, mean, squares = values[row, m], past[one, m, 0], past[one, m, 1]
            deviation = np.sqrt(squares / (n - 1)) if n > 1 else 0.0
            if n >= WARM and deviation > 0:
                score = max(score, abs(value - mean) / deviation)
            past[one, m, 0] = mean + (value - mean) / (n + 1)
            past[one, m, 1] = squares + (value - mean) * (value - past[one, m, 0])
            if m < 3 and n:
                found[row, 12 + m] = value - recent[one, m, (n - 1) % _LONGEST]
            recent[one, m, n % _LONGEST] = value
            total, k = 0.0, 0
            for w in range(3):
                while k < min(WINDOWS[w], n + 1):
                    total += recent[one, m, (n - k) % _LONGEST]
                    k += 1
                found[row, 4 * w + m] = total / k
        found[row, 15] = score
        seen[one] = n + 1
    return found


agent = declare("peer", source=NETWORK_KEYED, state=LinksState, publishes=(NETWORK_FEATURES,))

if "BROKER_URL" in os.environ:
    app = application((agent,))
