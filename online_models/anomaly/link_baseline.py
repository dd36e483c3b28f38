"""What is normal for one link: a level of each metric that follows within minutes, and how far samples stray from it.

A link's metrics are compared by ratios: twice the round trip is as much on a rack as across an ocean. So all of this
is in logarithms, with an offset below which nobody notices a change. The level forgets within a quarter of an hour,
which carries the day's course along; a sample moves it by at most three deviations, so that a fault of minutes hardly
does. Beside it runs a level that follows within two minutes: from that one a sample strays by noise alone, so that a
sudden fall shows which is small against the day's course. Two samples in a row say more than either.

What comes at the same hour day after day is no anomaly, however sudden it is. The largest deviation towards
harm of each hour is remembered, as far as the day before had it too, averaged over a few days; deviations count for
less where that is usual.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

LINK_METRICS: Final = ("throughput_mbps", "rtt_ms", "packet_loss", "jitter_ms", "retransmits", "queue_depth")
"""Columns of a sample that are watched, in the order of every `[..., metric]` array."""

N_LINK_METRICS: Final = len(LINK_METRICS)

LINK_HARM: Final = np.array([-1.0, 1.0, 1.0, 1.0, 1.0, 1.0])
"""Sign of the deviation that hurts, by metric."""

OFFSET: Final = np.array([0.1, 0.05, 1e-4, 0.05, 1.0, 1.0])
"""Added before logarithms are taken, in each metric's unit."""

LINK_WARM_UP: Final = 15
"""Samples of a link before it is judged."""

_THROUGHPUT: Final = LINK_METRICS.index("throughput_mbps")
_SUDDEN: Final = (_THROUGHPUT, LINK_METRICS.index("rtt_ms"))
"""Metrics that are steady from one minute to the next; loss and queue are counts, jitter is noise itself."""

_N_SUDDEN: Final = len(_SUDDEN)

LINK_BASELINE: Final = (
    ("level", "f8", (N_LINK_METRICS,)),
    ("variance", "f8", (N_LINK_METRICS,)),
    ("recent", "f8", (_N_SUDDEN,)),
    ("noise", "f8", (_N_SUDDEN,)),
    ("before", "f8", (_N_SUDDEN,)),
    ("usual_peak", "u1", (24, N_LINK_METRICS)),
    ("last_peak", "u1", (24, N_LINK_METRICS)),
    ("highest", "f4", (N_LINK_METRICS,)),
)
"""Fields of a link's state kept here.

Of the steady metrics, `noise` is the usual distance from the `recent` level, `before` the last sample's in deviations.
Peaks are in tenths of a deviation, `last_peak` that of the day before; `highest` is that of the hour under way.
"""

_FLOOR: Final = np.array([0.03, 0.03, 0.1, 0.1, 0.2, 0.2])
_LEVEL_MS: Final = 15 * 60_000.0
_SPREAD_MS: Final = 6 * 3_600_000.0
_RECENT_MS: Final = 60_000.0
_NOISE_MS: Final = 3 * 3_600_000.0
_NOISE_CLIP: Final = 1.5
_NOISE_FLOOR: Final = 0.06
_TO_DEVIATION: Final = 1.35
_ALSO: Final = 1.0
_TOGETHER: Final = math.sqrt(2.0)
_BEYOND: Final = 1.5

_LONGEST_STEP_MS: Final = 5 * 60_000.0
_CLIP: Final = 3.0
_CLIP_AFTER: Final = 10
_DOUBT: Final = 20.0
_MOST: Final = 99.0
_HOUR_MS: Final = 3_600_000
_NEIGHBOUR: Final = 0.25
_DAYS: Final = 1.5
_PEAK_MOST: Final = 15.0
_TENTHS: Final = 10.0
_ALLOWANCE: Final = 1.25


@njit(cache=True)
def link_spread(link: Any, j: int) -> float:
    """Standard deviation of a metric's logarithm around its level, not below its floor."""
    return float(max(math.sqrt(link.variance[j]), _FLOOR[j]))


@njit(cache=True)
def link_noise(link: Any, k: int) -> float:
    """Deviation of a steady metric's logarithm from its recent level, not below its floor; `k` its place in these."""
    return float(max(_TO_DEVIATION * link.noise[k], _NOISE_FLOOR))


@njit(cache=True)
def usual_throughput(link: Any) -> float:
    """Throughput of a link's level or of the last minutes, whichever is higher, Mbps."""
    return float(math.exp(max(link.level[_THROUGHPUT], link.recent[0])))


@njit(cache=True)
def write_logs(x: NDArray[Any], out: NDArray[Any]) -> None:
    """Logarithms of a sample's metrics, `[metric]`."""
    for j in range(N_LINK_METRICS):
        out[j] = math.log(max(x[j], 0.0) + OFFSET[j])


@njit(cache=True)
def write_link_z(link: Any, y: NDArray[Any], out: NDArray[Any]) -> None:
    """Deviations of a sample from its link's level, `[metric]`; wider while the link is new.

    Parameters
    ----------
    link
        A record with the fields of `LINK_BASELINE` and its `count` of samples.
    y
        Logarithms of the metrics.
    """
    doubt = math.sqrt(1.0 + _DOUBT / link.count)
    for j in range(N_LINK_METRICS):
        z = (y[j] - link.level[j]) / (doubt * link_spread(link, j))
        out[j] = min(max(z, -_MOST), _MOST)
    for k in range(_N_SUDDEN):
        j = _SUDDEN[k]
        unit = doubt * link_noise(link, k)
        if (y[j] - link.level[j]) * LINK_HARM[j] < _BEYOND * unit:
            continue  # a return to the usual is no fault
        away = (y[j] - link.recent[k]) / unit
        before = link.before[k] / doubt
        if min(away * LINK_HARM[j], before * LINK_HARM[j]) > _ALSO:
            away = (away + before) / _TOGETHER
        if away * LINK_HARM[j] > out[j] * LINK_HARM[j]:
            out[j] = min(max(away, -_MOST), _MOST)


@njit(cache=True)
def usual_peak(link: Any, time_ms: int, j: int) -> float:
    """Largest deviation that is usual for a metric around this hour of the day."""
    hour = (time_ms % (24 * _HOUR_MS)) / _HOUR_MS
    cell = int(hour)
    peak = link.usual_peak[cell, j]
    if hour - cell < _NEIGHBOUR:
        peak = max(peak, link.usual_peak[(cell + 23) % 24, j])
    elif hour - cell > 1.0 - _NEIGHBOUR:
        peak = max(peak, link.usual_peak[(cell + 1) % 24, j])
    return float(peak / _TENTHS)


@njit(cache=True)
def allow_usual(link: Any, time_ms: int, threshold: float, z: NDArray[Any]) -> None:
    """Scale deviations towards harm so that what is usual at this hour stays below the threshold."""
    for j in range(N_LINK_METRICS):
        if z[j] * LINK_HARM[j] > 0.0:
            z[j] *= threshold / max(threshold, _ALLOWANCE * usual_peak(link, time_ms, j))


@njit(cache=True)
def learn_link(link: Any, elapsed_ms: float, time_ms: int, y: NDArray[Any], z: NDArray[Any]) -> None:
    """Take a link's next sample in.

    Parameters
    ----------
    link
        As of `write_link_z`, with the `clock` of its sample before.
    elapsed_ms
        Since that one; a longer gap than five minutes counts as five.
    time_ms
        Of this one.
    y, z
        Logarithms of its metrics, and their deviations; 0 while there are none.
    """
    if link.count > 0 and time_ms // _HOUR_MS != link.clock // _HOUR_MS:
        cell = (link.clock // _HOUR_MS) % 24
        for j in range(N_LINK_METRICS):
            highest = np.uint8(round(_TENTHS * min(link.highest[j], _PEAK_MOST)))
            again = min(highest, link.last_peak[cell, j])
            usual = link.usual_peak[cell, j] + (again - link.usual_peak[cell, j]) / _DAYS
            link.usual_peak[cell, j] = np.uint8(round(usual))
            link.last_peak[cell, j] = highest
            link.highest[j] = np.float32(0.0)
    step_ms = min(elapsed_ms, _LONGEST_STEP_MS)
    fast = max(1.0 - math.exp(-step_ms / _LEVEL_MS), 1.0 / (link.count + 1.0))
    slow = max(1.0 - math.exp(-step_ms / _SPREAD_MS), 1.0 / (link.count + 1.0))
    recent = max(1.0 - math.exp(-step_ms / _RECENT_MS), 1.0 / (link.count + 1.0))
    steady = max(1.0 - math.exp(-step_ms / _NOISE_MS), 1.0 / max(link.count, 1.0))
    for j in range(N_LINK_METRICS):
        link.highest[j] = max(link.highest[j], np.float32(z[j] * LINK_HARM[j]))
        away = y[j] - link.level[j]
        if link.count >= _CLIP_AFTER:
            most = _CLIP * link_spread(link, j)
            away = min(max(away, -most), most)
        link.level[j] += fast * away
        if link.count > 0:
            link.variance[j] += slow * (away * away - link.variance[j])
    for k in range(_N_SUDDEN):
        unit = link_noise(link, k)
        away = y[_SUDDEN[k]] - link.recent[k]
        link.before[k] = away / unit if link.count > 0 else 0.0
        if link.count >= _CLIP_AFTER:
            away = min(max(away, -_CLIP * unit), _CLIP * unit)
        link.recent[k] += recent * away
        if link.count > 0:
            link.noise[k] += steady * (min(abs(away), _NOISE_CLIP * unit) - link.noise[k])
