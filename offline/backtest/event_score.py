"""Alarms against labelled events: what is found, how late, and how often for nothing.

No point adjustment: an event counts as found when an alert covers one of its samples, an
alarm is false when its alert covers none, and nothing is credited beyond that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class EventScore:
    """How a series' alerts met its events.

    Parameters
    ----------
    events, found
        Labelled events, and those that an alert met.
    alarms, false_alarms
        Alerts, and those that met no event.
    days
        Time that was judged.
    median_delay_s
        From an event's first sample to its first alerted one; None when none was found.
    """

    events: int
    found: int
    alarms: int
    false_alarms: int
    days: float
    median_delay_s: float | None

    @property
    def recall(self) -> float | None:
        """Share of the events found; None without events."""
        return self.found / self.events if self.events else None

    @property
    def precision(self) -> float | None:
        """Share of the alarms that met an event; None without alarms."""
        return 1.0 - self.false_alarms / self.alarms if self.alarms else None

    @property
    def false_alarms_per_day(self) -> float:
        """False alarms divided by the days judged."""
        return self.false_alarms / self.days


def runs(flags: Flags) -> list[tuple[int, int]]:
    """Begin and end (exclusive) of every run of true.

    >>> runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def score_events(time_ms: NDArray[np.int64], alert: Flags, label: Flags) -> EventScore:
    """Score one series.

    Parameters
    ----------
    time_ms
        Event times, `[n]`, not decreasing.
    alert, label
        Whether a sample is alerted, and whether it is anomalous, `[n]`.
    """
    events = runs(label)
    alerts = runs(alert)
    met = [(begin, begin + int(np.argmax(alert[begin:end]))) for begin, end in events if alert[begin:end].any()]
    delays = [float(time_ms[first] - time_ms[begin]) / 1000.0 for begin, first in met]
    days = max(float(time_ms[-1] - time_ms[0]) / 86_400_000.0, 1e-9)
    false_alarms = sum(not label[begin:end].any() for begin, end in alerts)
    median = float(np.median(delays)) if delays else None
    return EventScore(len(events), len(met), len(alerts), false_alarms, days, median)
