"""Transfers: which payloads go over which link when, what came of them, what was known.

Arrivals are a Poisson process per link, denser when the link is in demand. What the
selector sees is measured with error (entropy and repetition are estimated from a
part of the payload, bandwidth and rtt from the last probe) or is history; what
happened is computed from the conditions themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.simulator.bank import LEVELS, Bank, group_number
from offline.simulator.history import AMST, HDE, Completions, History
from offline.simulator.link import MINUTE_MS, Links, LinkState
from offline.simulator.outcome import Conditions, Noise, Outcome, outcome

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

MIX: Final = np.array(
    [
        # vm_memory, disk_block, file, stream
        [0.35, 0.35, 0.15, 0.15],  # dc
        [0.35, 0.30, 0.20, 0.15],  # metro
        [0.20, 0.20, 0.25, 0.35],  # wan
        [0.10, 0.15, 0.35, 0.40],  # edge
    ]
)
"""Payload types by link type; calibrated so that each algorithm is best for 30..70 % of the transfers."""

BASELINE: Final = np.array([0.60, 0.55, 0.35, 0.10])
"""How often a payload of each type has a previous version at the other end."""

IMAGES: Final = 2
"""The first two payload types: memory and disk images."""

SIZE_MIB: Final = np.array([8.0, 4.0, 1.0, 2.0])
SIZE_LOG_SD: Final = 0.9

SHADOW: Final = 0.95
"""Share of transfers whose other side was measured too."""

MISSING: Final = 0.01
"""Share of transfers without an entropy or repetition estimate."""

ENTROPY_SD: Final = 0.12
REPETITION_SD: Final = 1.5
BANDWIDTH_LOG_SD: Final = 0.05
RTT_LOG_SD: Final = 0.03
UTILIZATION_SD: Final = 1.5


@dataclass(slots=True)
class Transfers:
    """The transfers of one minute, in order of start; arrays `[transfer]`.

    `seen_*` is what the features say (NaN = not estimated), `conditions` and `result`
    are the truth behind them, `history` is `[transfer, side, value]`.
    """

    start_ms: F64
    link: I64
    payload_type: I64
    has_baseline: NDArray[np.bool_]
    level: I64
    row: I64
    seen_entropy: F64
    seen_repetition: F64
    seen_bandwidth_mbps: F64
    seen_utilization_pct: F64
    seen_rtt_ms: F64
    shadow: NDArray[np.bool_]
    conditions: Conditions
    result: Outcome
    history: F64

    def __len__(self) -> int:
        return len(self.link)


class Senders(NamedTuple):
    """The sending hosts in one minute, arrays `[host]`.

    Parameters
    ----------
    load
        CPU in use, 0..1.
    hde_fails
        Compression fails: what is sent is not smaller.
    hde_cost
        Factor on the CPU that HDE needs.
    contention
        Factor on the noise of every transfer.
    codec
        Factor on the time and CPU that HDE needs for large memory and disk images and for small files and streams;
        small images, large files and large streams need so much less.
    """

    load: F64
    hde_fails: NDArray[np.bool_]
    hde_cost: F64
    contention: F64
    codec: F64

    @classmethod
    def with_load(cls, load: F64) -> Senders:
        """Hosts with which nothing is wrong."""
        return cls(load, np.zeros(len(load), np.bool_), np.ones(len(load)), np.ones(len(load)), np.ones(len(load)))


class Workload:
    """Draws transfers and keeps each link's history.

    Parameters
    ----------
    rng
        Source of everything random here.
    bank
        Measured payloads.
    links
        The links' parameters.
    sender
        Index of each link's sending host.
    rate
        Transfers per second and link.
    """

    def __init__(self, rng: Generator, bank: Bank, links: Links, sender: I64, rate: float) -> None:
        self._rng, self.bank, self._links, self._sender, self._rate = rng, bank, links, sender, rate
        self.level = rng.integers(0, len(LEVELS), len(links))
        self._history = History(len(links))
        self._mix = np.cumsum(MIX, axis=1)[:, :-1]

    def step(self, time_ms: int, state: LinkState, senders: Senders) -> Transfers:
        """The transfers that start in the minute from `time_ms`, given links and hosts in this minute."""
        rng = self._rng
        demand = np.clip(state.utilization / 0.4, 0.3, 2.0)
        link = np.repeat(np.arange(len(self._links)), rng.poisson(60 * self._rate * demand))
        n = len(link)
        start = time_ms + rng.random(n) * MINUTE_MS
        order = np.argsort(start, kind="stable")
        start, link = np.floor(start[order]), link[order]
        payload_type = (rng.random(n)[:, None] > self._mix[self._links.link_type[link]]).sum(axis=1)
        has_baseline = rng.random(n) < BASELINE[payload_type]
        group = group_number(payload_type, has_baseline, self.level[link])
        row = self.bank.group_start[group] + (rng.random(n) * self.bank.group_count[group]).astype(np.int64)
        size_mib = SIZE_MIB[payload_type] * np.exp(SIZE_LOG_SD * rng.standard_normal(n))
        size_mib = np.clip(size_mib, 1 / 64, 512)
        conditions = self._conditions(state, senders, link, row, size_mib, payload_type)
        result = outcome(conditions, Noise.draw(rng, (n,)))
        shadow = rng.random(n) < SHADOW
        hit_rate = np.where(senders.hde_fails[self._sender[link]], 0.0, self.bank.hit_rate[row])
        completed = _completions(start, link, conditions, result, hit_rate, shadow, has_baseline)
        history = self._history.read(start, link, completed, time_ms + MINUTE_MS)
        return Transfers(
            start, link, payload_type, has_baseline, self.level[link], row,
            _estimate(rng, self.bank.entropy[row], ENTROPY_SD, 8.0),
            _estimate(rng, self.bank.repetition[row], REPETITION_SD, 100.0),
            state.available_mbps[link] * np.exp(BANDWIDTH_LOG_SD * rng.standard_normal(n)),
            np.clip(100 * state.utilization[link] + UTILIZATION_SD * rng.standard_normal(n), 0, 100),
            state.rtt_ms[link] * np.exp(RTT_LOG_SD * rng.standard_normal(n)),
            shadow, conditions, result, history,
        )  # fmt: skip

    def _conditions(
        self, state: LinkState, senders: Senders, link: I64, row: I64, mib: F64, payload_type: I64
    ) -> Conditions:
        bank, host = self.bank, self._sender[link]
        dearer = (payload_type < IMAGES) == (mib > SIZE_MIB[payload_type])
        cost = senders.hde_cost[host] * np.where(dearer, senders.codec[host], 1.0 / senders.codec[host])
        return Conditions(
            state.available_mbps[link], state.rtt_ms[link], state.loss[link], self._links.streams[link].astype(float),
            senders.load[host], mib, np.where(senders.hde_fails[host], 1.0, bank.ratio[row]),
            bank.encode_ms_per_mib[row] * cost, bank.cpu_ms_per_mib[row] * cost, senders.contention[host],
        )  # fmt: skip


def naive_uses_hde(has_baseline: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The policy in force before any model: HDE where there is a baseline to encode against."""
    return has_baseline


def _completions(
    start: F64, link: I64, c: Conditions, r: Outcome, hit_rate: F64, shadow: NDArray[np.bool_],
    has_baseline: NDArray[np.bool_],
) -> Completions:  # fmt: skip
    """Outcomes that become known: of the side that was used, and of both where a shadow ran."""
    used = naive_uses_hde(has_baseline)
    n = len(link)
    hde = Completions(
        start + r.hde_latency_ms, link, np.full(n, HDE),
        np.stack([r.hde_ratio, hit_rate, r.hde_latency_ms, r.hde_cpu_pct], axis=1),
    )  # fmt: skip
    amst = Completions(
        start + r.amst_latency_ms, link, np.full(n, AMST),
        np.stack([c.streams, r.amst_rate_mbps, r.amst_latency_ms, r.amst_cpu_pct], axis=1),
    )  # fmt: skip
    return hde.where(shadow | used).join(amst.where(shadow | ~used))


def _estimate(rng: Generator, value: F64, sd: float, high: float) -> F64:
    """A measurement with error, or NaN where none was made."""
    seen = np.clip(value + sd * rng.standard_normal(len(value)), 0, high)
    return np.where(rng.random(len(value)) < MISSING, np.nan, seen)
