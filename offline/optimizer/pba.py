"""PBA measured: the worker's forecaster replayed over links, and what allocating by its forecasts is worth.

Every `update_frequency` seconds the forecaster says what the link will offer in `prediction_window`
seconds. When its confidence reaches the threshold, the sender reserves what lies on the way there,
else nine tenths of the mean of the last ten samples. What is reserved beyond the offer is lost four times over
(queues, loss, retransmission), what is not reserved is lost once, and every change of the reservation
costs ten round trips of the link's time.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from offline.backtest.bandwidth_stream import UNBOUNDED, stream_link
from offline.backtest.grid import Grid as Samples
from offline.optimizer.grid import Grid
from offline.series import read_series
from offline.simulator.ar import AutoRegression
from offline.simulator.link import Links, Overlay
from schemas.field import LINK_TYPES

F64 = NDArray[np.float64]

WINDOWS_S: Final = np.array([10, 20, 30, 45, 60, 100, 170, 300.0])
THRESHOLDS: Final = np.array([0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.99])
UPDATES_S: Final = np.array([1, 2, 4, 7, 10, 15, 30, 60.0])

CONTEXTS: Final = 36
SEED: Final = 8
LENGTH_S: Final = 3600

OVER_COST: Final = 4.0
SETTLING_RTTS: Final = 10.0
LINKS_PER_CORE: Final = 100
FORECAST_MS: Final = 4.0
"""Of a forecast and the change that follows it, all systems together."""


class Trace(NamedTuple):
    """A link by the second: what it offers (Mbps), its round trip (ms), and where that is from."""

    offer: F64
    rtt_ms: float
    source: str


def build(say: Callable[[str], None], rtt: Path | None = None, contexts: int = CONTEXTS, seed: int = SEED) -> Grid:
    """The grid: links of the simulator by the second, and slices of recorded round trips where there are some."""
    rng = np.random.default_rng(seed)
    recorded = [] if rtt is None else recorded_links(rtt, contexts // 3)
    traces = [*simulated_links(rng, contexts - len(recorded)), *recorded]
    traces = [traces[k] for k in rng.permutation(len(traces))]
    log = np.empty((contexts, len(WINDOWS_S), len(THRESHOLDS), len(UPDATES_S), 4))
    for c, trace in enumerate(traces):
        say(f"pba: {trace.source} ({c + 1} of {contexts})")
        for i, window in enumerate(WINDOWS_S):
            for k, update in enumerate(UPDATES_S):
                log[c, i, :, k] = _measure(trace, float(window), int(update))
    change = np.array([np.abs(np.diff(trace.offer)).mean() / trace.offer.mean() for trace in traces])
    spread = np.array([trace.offer.std() / trace.offer.mean() for trace in traces])
    settle = np.array([trace.rtt_ms for trace in traces])
    features = np.log(np.stack([change, spread, settle], axis=1) + 1e-6)
    known = ("log_change_per_s", "log_variation", "log_rtt_ms")
    text = f"{len(traces) - len(recorded)} simulated links of an hour, seed {seed}; {len(recorded)} slices of probes"
    return Grid("pba", (WINDOWS_S, THRESHOLDS, UPDATES_S), features, known, log, text)


def simulated_links(rng: np.random.Generator, count: int) -> list[Trace]:
    """Links of the fleet's simulator: its minutes, joined, and faster variation on top."""
    kind = np.arange(count) % len(LINK_TYPES)
    links = Links(rng, kind, np.zeros(count))
    minutes = []
    for minute in range(LENGTH_S // 60 + 1):
        links.step()
        minutes.append(links.state(minute * 60_000 + 50_000_000, Overlay.none(count)))
    offer = np.stack([state.available_mbps for state in minutes])
    rtt = np.stack([state.rtt_ms for state in minutes]).mean(axis=0)
    seconds = np.arange(LENGTH_S) / 60.0
    slow = np.exp(rng.uniform(np.log(3.0), np.log(120.0), count))
    fast = AutoRegression(rng, slow, (count,))
    wobble = np.stack([fast.step() for _ in range(LENGTH_S)]) * rng.uniform(0.01, 0.2, count)
    found = []
    for k in range(count):
        level = np.interp(seconds, np.arange(len(offer)), offer[:, k])
        found.append(Trace(level * np.exp(wobble[:, k]), float(rtt[k]), f"simulated {LINK_TYPES[kind[k]]} link"))
    return found


def recorded_links(path: Path, count: int, window_mib: float = 4.0) -> list[Trace]:
    """What a path whose round trips were probed offers to a fixed window: window over round trip."""
    series = read_series(path, None, [])
    value = next(iter(series.columns.values()))
    good = np.isfinite(value) & (value > 0)
    time_s, value = series.time_ms[good] / 1000.0, value[good]
    starts = np.linspace(time_s[0], time_s[-1] - 3 * LENGTH_S, count)
    found = []
    for start in starts:
        # Three hours as one: probes are some ten seconds apart.
        rtt = np.interp(start + 3.0 * np.arange(LENGTH_S), time_s, value)
        found.append(Trace(window_mib * 8388.608 / rtt, float(rtt.mean()), "recorded round trips"))
    return found


def _measure(trace: Trace, window_s: float, update_s: int) -> F64:
    """Logarithms of `grid.METRICS` for every threshold, `[threshold, metric]`."""
    at = np.arange(0, LENGTH_S, update_s)
    samples = Samples(at.astype(np.int64) * 1000, trace.offer[at], update_s * 1000, 0)
    horizon = max(1, round(window_s / update_s))
    made = stream_link(samples, 0, horizon * update_s * 1000, UNBOUNDED)["predicted"][:, 0]
    value = _follow(trace.offer, made, update_s, horizon, THRESHOLDS, trace.rtt_ms * SETTLING_RTTS / 1000.0, OVER_COST)
    cpu = 15.0 + 100.0 * FORECAST_MS / 1000.0 * LINKS_PER_CORE / update_s
    cost = 1.0 + 0.1 / update_s
    memory = 45.0 + window_s / update_s * LINKS_PER_CORE / 2000.0
    same = np.tile([cost, min(cpu, 100.0), memory], (len(value), 1))
    return np.asarray(np.log(np.column_stack([np.maximum(value, 0.02), same])))


@njit(cache=True)
def _follow(
    offer: F64, made: F64, update_s: int, horizon: int, thresholds: F64, settle_s: float, over_cost: float
) -> NDArray[Any]:
    """Share of the offer that was used well, by threshold, without the first tenth.

    Confidence is the contract's: 1 less five times the mean relative error of the last 20 forecasts met.
    """
    n = len(made)
    used = np.zeros(len(thresholds))
    offered = 0.0
    error = np.zeros(20)
    met = 0
    for i in range(n):
        if i >= horizon:
            error[met % 20] = abs(made[i - horizon] - offer[i * update_s]) / max(offer[i * update_s], 1e-9)
            met += 1
        confidence = 0.5
        if met >= 10:
            confidence = min(max(1.0 - error[: min(met, 20)].mean() / 0.2, 0.0), 1.0)
        now = offer[i * update_s]
        first = max(0, i - 9)
        careful = 0.0
        for j in range(first, i + 1):
            careful += offer[j * update_s]
        careful *= 0.9 / (i + 1 - first)
        if i < n // 10:
            continue
        settling = min(settle_s / update_s, 1.0)
        for s in range(update_s):
            t = i * update_s + s
            if t >= len(offer):
                break
            offered += offer[t]
            along = min((s + 1.0) / (horizon * update_s), 1.0)
            bold = now + (made[i] - now) * along
            for k in range(len(thresholds)):
                kept = max(bold if confidence >= thresholds[k] else careful, 0.0)
                over = max(kept - offer[t], 0.0)
                used[k] += (min(kept, offer[t]) - over_cost * over) * (1.0 - settling)
    return used / max(offered, 1e-9)
