"""The job, a sample at a time, as one would write it for a processor that hands over one record after another."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, Final

from river import stats, utils

METRICS: Final = ("throughput_mbps", "rtt_ms", "packet_loss", "jitter_ms")
WINDOWS: Final = (3, 5, 10)
CHANGED: Final = METRICS[:3]
WARM: Final = 10
"""Samples of a link before its score is anything but 0."""


class Link:
    """What is kept of one link."""

    def __init__(self) -> None:
        self.means = [[utils.Rolling(stats.Mean, window_size=w) for _ in METRICS] for w in WINDOWS]
        self.past = [stats.Var() for _ in METRICS]
        self.last: list[float] | None = None

    def features(self, sample: dict[str, Any]) -> list[float]:
        """Twelve means, three changes, and the largest deviation in standard deviations of the link's past."""
        values = [float(sample[name]) for name in METRICS]
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


class Links:
    """The job over a stream of samples."""

    def __init__(self) -> None:
        self._links: defaultdict[tuple[str, str], Link] = defaultdict(Link)

    def answer(self, sample: dict[str, Any]) -> dict[str, Any]:
        """The record to publish for a sample."""
        node, peer = sample["node_id"], sample["peer_id"]
        features = self._links[node, peer].features(sample)
        return {"timestamp": sample["timestamp"], "node_id": node, "peer_id": peer, "features": features}
