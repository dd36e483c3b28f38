"""The job with River's rolling means and variances, as one would write it first."""

from __future__ import annotations

import math

from river import stats, utils

from tests.bench.peers.job import CHANGED, METRICS, WARM, WINDOWS


class RiverLink:
    """What is kept of one link; answers as `job.Link`."""

    def __init__(self) -> None:
        self.means = [[utils.Rolling(stats.Mean, window_size=w) for _ in METRICS] for w in WINDOWS]
        self.past = [stats.Var() for _ in METRICS]
        self.last: list[float] | None = None

    def features(self, values: list[float]) -> list[float]:
        """Twelve means, three changes, and the largest deviation in standard deviations of the link's past."""
        score = 0.0
        for value, past in zip(values, self.past, strict=True):
            deviation = math.sqrt(max(past.get(), 0.0))
            if past.mean.n >= WARM and deviation > 0:
                score = max(score, abs(value - past.mean.get()) / deviation)
            past.update(value)
        found = []
        for means in self.means:
            for mean, value in zip(means, values, strict=True):
                mean.update(value)
                found.append(mean.get())
        last = self.last or values
        self.last = values
        return [*found, *(values[k] - last[k] for k in range(len(CHANGED))), score]
