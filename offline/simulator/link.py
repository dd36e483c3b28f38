"""Links: level by type, cycles, autocorrelated residuals, congestion and failure.

Every minute, for each link::

    utilization = sigmoid(logit(u0) + a daily + w weekend + s x0 + congested)
    available   = capacity (1 - utilization)
    rtt         = base + queue u/(1-u), times exp(r x1)      M/M/1 waiting time
    loss        = loss0 exp(4 (u - 1/2)) exp(l x2)
    jitter      = (jitter0 + waiting/4) exp(j x3)
    throughput  = streams Mathis(rtt, loss), limited by what is available

with `x` four AR(1) series and a three-state Markov chain (normal, congested, failed).
Nothing else is random, so what can be known of the next 15 minutes is known exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.simulator.ar import AutoRegression
from offline.simulator.cycle import daily, is_weekend, local_hour
from offline.simulator.tcp import parallel_mbps
from schemas.field import LINK_TYPES

F64 = NDArray[np.float64]

NORMAL, CONGESTED, FAILED = 0, 1, 2

MINUTE_MS: Final = 60_000
MINUTES_PER_DAY: Final = 1440

TIME_CONSTANT_MIN: Final = np.array([[60.0], [25.0], [40.0], [20.0]])
"""Of demand, rtt, loss and jitter residuals: tens of minutes, so 15 minutes ahead is neither given nor lost."""


@dataclass(frozen=True, slots=True)
class LinkLevel:
    """What is usual on one type of link; orders of magnitude from published measurements.

    Within a data centre: C. Guo et al., "Pingmesh", SIGCOMM 2015 (rtt some 0.3 ms, drop
    rate 1e-5). Between regions: the public clouds' own inter-region rtt tables. Access:
    S. Sundaresan et al., "Broadband internet performance", SIGCOMM 2011.

    Parameters
    ----------
    capacity_mbps, rtt_ms, loss, jitter_ms
        Medians over the links of the type.
    queue_ms
        Waiting time at half load.
    utilization
        Median share of the capacity in use by others.
    peak_hour
        Local hour of the highest demand.
    daily, weekend, residual
        In logits of utilization: amplitude of the day, shift at the weekend, standard
        deviation of the residual.
    congestions_per_day, failures_per_day
        How often each begins.
    """

    capacity_mbps: float
    rtt_ms: float
    loss: float
    jitter_ms: float
    queue_ms: float
    utilization: float
    peak_hour: float
    daily: float
    weekend: float
    residual: float
    congestions_per_day: float
    failures_per_day: float


LEVELS: Final = {
    "dc": LinkLevel(10_000, 0.3, 1e-5, 0.03, 0.05, 0.35, 14, 0.5, -0.3, 0.35, 0.3, 0.02),
    "metro": LinkLevel(2_000, 4.0, 5e-5, 0.3, 0.3, 0.40, 14, 0.7, -0.5, 0.40, 0.5, 0.05),
    "wan": LinkLevel(600, 70.0, 5e-4, 2.0, 3.0, 0.45, 15, 0.7, -0.5, 0.45, 1.0, 0.1),
    "edge": LinkLevel(80, 28.0, 3e-3, 4.0, 6.0, 0.40, 20, 0.9, 0.2, 0.55, 2.0, 0.2),
}
"""By link type; capacities spread by a factor of about 1.5 between links, the rest by 1.2."""

CONGESTED_LOGIT: Final = 1.4
CONGESTED_MIN: Final = 25.0
FAILED_MIN: Final = 4.0
FAILED_CAPACITY: Final = 0.05
"""Share of the capacity that is left on the fail-over path."""

_RTT_SD, _LOSS_SD, _JITTER_SD = 0.06, 0.45, 0.35


class LinkState(NamedTuple):
    """All links at one minute, each array of shape `[..., link]`."""

    capacity_mbps: F64
    utilization: F64
    available_mbps: F64
    rtt_ms: F64
    loss: F64
    jitter_ms: F64
    throughput_mbps: F64


class Overlay(NamedTuple):
    """What traces and faults change, by link: factors (1 = nothing) and demand (NaN = the model's).

    `demand_logit` replaces cycle and residual of the utilization's logit.
    """

    capacity: F64
    rtt: F64
    loss: F64
    demand_logit: F64

    @classmethod
    def none(cls, links: int) -> Overlay:
        """No change on any link."""
        return cls(np.ones(links), np.ones(links), np.ones(links), np.full(links, np.nan))


class Links:
    """The links' parameters and their process.

    Parameters
    ----------
    rng
        Source of everything random here.
    link_type
        Index into `LINK_TYPES` of each link.
    utc_offset_h
        Local time of each link's sending end.
    """

    def __init__(self, rng: Generator, link_type: NDArray[np.int64], utc_offset_h: F64) -> None:
        n = len(link_type)
        self.link_type, self.utc_offset_h = link_type, utc_offset_h
        table = np.array([[getattr(LEVELS[t], f) for f in LinkLevel.__slots__] for t in LINK_TYPES])[link_type]
        level = dict(zip(LinkLevel.__slots__, table.T, strict=True))
        spread = np.exp(rng.standard_normal((6, n)) * np.array([0.4, 0.2, 0.2, 0.2, 0.2, 0.0])[:, None])
        self.capacity_mbps = level["capacity_mbps"] * spread[0]
        self.base_rtt_ms = level["rtt_ms"] * spread[1]
        self.base_loss = level["loss"] * spread[2]
        self.base_jitter_ms = level["jitter_ms"] * spread[3]
        self.queue_ms = level["queue_ms"] * spread[4]
        self.base_logit = np.log(level["utilization"] / (1 - level["utilization"])) + 0.25 * rng.standard_normal(n)
        self.peak_hour, self.daily, self.weekend = level["peak_hour"], level["daily"], level["weekend"]
        self.residual = level["residual"]
        self.streams = _usual_streams(self)
        self.noise = AutoRegression(rng, TIME_CONSTANT_MIN, (4, n))
        self.transition = _transitions(level["congestions_per_day"], level["failures_per_day"])
        self.regime = np.zeros(n, np.int64)
        self._rng = rng

    def __len__(self) -> int:
        return len(self.link_type)

    def step(self) -> None:
        """Move the residuals and regimes one minute on."""
        self.noise.step()
        self.regime = _move(self._rng.random(len(self)), self.transition, self.regime)

    def cycle(self, time_ms: int) -> F64:
        """Daily and weekly part of demand, logits, `[link]`."""
        hour = local_hour(time_ms, self.utc_offset_h)
        weekend = is_weekend(time_ms, self.utc_offset_h)
        return np.asarray(self.daily * daily(hour, self.peak_hour) + self.weekend * weekend)

    def state(self, time_ms: int, overlay: Overlay) -> LinkState:
        """The links now."""
        return self.condition(self.cycle(time_ms), self.noise.state, self.regime, overlay, np.arange(len(self)))

    def condition(
        self, cycle: F64, noise: F64, regime: NDArray[np.int64], overlay: Overlay, index: NDArray[np.intp]
    ) -> LinkState:
        """The formulas of this module, for the links `index`.

        Parameters
        ----------
        cycle
            Logits, `[link]`.
        noise
            Residuals `[..., 4, link]`.
        regime
            `[..., link]`.
        overlay
            Of all links.
        """
        modelled = cycle + self.residual[index] * noise[..., 0, :]
        demand = np.where(np.isnan(overlay.demand_logit[index]), modelled, overlay.demand_logit[index])
        utilization = _sigmoid(self.base_logit[index] + demand + CONGESTED_LOGIT * (regime == CONGESTED))
        failed = regime == FAILED
        capacity = self.capacity_mbps[index] * overlay.capacity[index] * np.where(failed, FAILED_CAPACITY, 1.0)
        available = capacity * (1 - utilization)
        waiting = self.queue_ms[index] * utilization / (1 - utilization)
        rtt = self.base_rtt_ms[index] * np.where(failed, 2.0, 1.0) + waiting
        rtt = rtt * overlay.rtt[index] * np.exp(_RTT_SD * noise[..., 1, :])
        loss = self.base_loss[index] * overlay.loss[index] * np.exp(4 * (utilization - 0.5))
        loss = loss * np.exp(_LOSS_SD * noise[..., 2, :]) * np.where(regime == CONGESTED, 4.0, 1.0)
        loss = np.minimum(loss * np.where(failed, 20.0, 1.0), 0.3)
        jitter = (self.base_jitter_ms[index] + waiting / 4) * np.exp(_JITTER_SD * noise[..., 3, :])
        throughput = parallel_mbps(self.streams[index], rtt, loss, available)
        return LinkState(capacity, utilization, available, rtt, loss, jitter * overlay.rtt[index], throughput)

    def regime_ahead(self, rng: Generator, minutes: int, draws: int, index: NDArray[np.intp]) -> NDArray[np.int64]:
        """Draws of the regime `minutes` from now, given the regime now: `[draws, len(index)]`."""
        transition = np.linalg.matrix_power(self.transition[index], minutes)
        return _move(rng.random((draws, len(index))), transition, self.regime[index])


def _usual_streams(links: Links) -> NDArray[np.int64]:
    """Streams AMST uses on the link at its usual level: `int(bandwidth / 10)`, more where rtt is low."""
    usual = links.capacity_mbps * (1 - _sigmoid(links.base_logit))
    factor = np.where(links.base_rtt_ms > 100, 0.7, np.where(links.base_rtt_ms < 20, 1.3, 1.0))
    return np.asarray(np.clip((np.floor(usual / 10) * factor).astype(np.int64), 2, 256))


def _transitions(congestions_per_day: F64, failures_per_day: F64) -> F64:
    """Transition matrices of one minute, `[link, from, to]`."""
    n = len(congestions_per_day)
    matrix = np.zeros((n, 3, 3))
    matrix[:, NORMAL, CONGESTED] = congestions_per_day / MINUTES_PER_DAY
    matrix[:, NORMAL, FAILED] = failures_per_day / MINUTES_PER_DAY
    matrix[:, CONGESTED, NORMAL] = 1 / CONGESTED_MIN
    matrix[:, FAILED, NORMAL] = 1 / FAILED_MIN
    matrix[:, range(3), range(3)] = 1 - matrix.sum(axis=2)
    return matrix


def _move(u: F64, transition: F64, regime: NDArray[np.int64]) -> NDArray[np.int64]:
    """Next regime by inversion of the cumulative transition probabilities."""
    below = np.cumsum(transition[np.arange(len(regime)), regime], axis=-1)[..., :2]
    return np.asarray((u[..., None] > below).sum(axis=-1), np.int64)


def _sigmoid(x: F64) -> F64:
    return np.asarray(1 / (1 + np.exp(-x)))
