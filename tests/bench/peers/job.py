"""The job, a sample at a time, in plain Python, for processors that hand over one record after another."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from collections.abc import Callable
from itertools import islice
from typing import Any, Final, Protocol

METRICS: Final = ("throughput_mbps", "rtt_ms", "packet_loss", "jitter_ms")
WINDOWS: Final = (3, 5, 10)
CHANGED: Final = METRICS[:3]
WARM: Final = 10
"""Samples of a link before its score is anything but 0."""


class Features(Protocol):
    """What is kept of one link."""

    def features(self, values: list[float]) -> list[float]:
        """Twelve means, three changes, and the largest deviation in standard deviations of the link's past."""
        ...


class Link:
    """What is kept of one link: its last values, newest first, and mean and variance of all (Welford 1962)."""

    def __init__(self) -> None:
        self._recent: list[deque[float]] = [deque(maxlen=WINDOWS[-1]) for _ in METRICS]
        self._mean = [0.0] * len(METRICS)
        self._squares = [0.0] * len(METRICS)
        self._seen = 0

    def features(self, values: list[float]) -> list[float]:
        """Twelve means, three changes, and the largest deviation in standard deviations of the link's past."""
        n = self._seen
        score = 0.0
        changes = []
        for k, value in enumerate(values):
            mean = self._mean[k]
            away = value - mean
            if n >= WARM:
                deviation = math.sqrt(max(self._squares[k] / (n - 1), 0.0))
                if deviation > 0:
                    score = max(score, abs(away) / deviation)
            self._mean[k] = mean = mean + away / (n + 1)
            self._squares[k] += away * (value - mean)
            recent = self._recent[k]
            if k < len(CHANGED):
                changes.append(value - recent[0] if recent else 0.0)
            recent.appendleft(value)
        self._seen = n + 1
        means = [sum(islice(recent, w)) / min(w, n + 1) for w in WINDOWS for recent in self._recent]
        return [*means, *changes, score]


class Links:
    """The job over a stream of samples.

    Parameters
    ----------
    link
        Makes what is kept of one link.
    """

    def __init__(self, link: Callable[[], Features] = Link) -> None:
        self._links: defaultdict[tuple[str, str], Features] = defaultdict(link)

    def answer(self, sample: dict[str, Any]) -> dict[str, Any]:
        """The record to publish for a sample."""
        link = self._links[sample["node_id"], sample["peer_id"]]
        return answer_of(sample, link)


def answer_of(sample: dict[str, Any], link: Features) -> dict[str, Any]:
    """The record to publish for a sample of this link."""
    features = link.features([float(sample[name]) for name in METRICS])
    return {
        "timestamp": sample["timestamp"], "node_id": sample["node_id"], "peer_id": sample["peer_id"],
        "features": features,
    }  # fmt: skip
