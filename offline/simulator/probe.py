"""Network samples: what a host's probe measures of a link, with the error of a measurement."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from offline.simulator.link import LinkState
from offline.simulator.tcp import MSS_BYTES

F64 = NDArray[np.float64]
I64 = NDArray[np.int64]

THROUGHPUT_LOG_SD: Final = 0.06
RTT_LOG_SD: Final = 0.04
JITTER_LOG_SD: Final = 0.15
ACTIVE_SHARE: Final = 0.25
"""Median share of the minute in which DWCP sends at the link's throughput."""


class Sample(NamedTuple):
    """One sample per link, arrays `[link]`, in the units of the contract."""

    rtt_ms: F64
    jitter_ms: F64
    throughput_mbps: F64
    bytes_tx: I64
    bytes_rx: I64
    packet_loss: F64
    retransmits: I64
    congestion_window: I64
    queue_depth: I64


def probe(rng: Generator, state: LinkState, streams: I64) -> Sample:
    """Measure every link once.

    Loss is counted, not known: retransmitted over sent packets of this minute. The
    congestion window is the bandwidth-delay product of one stream, in packets.
    """
    n = len(streams)
    throughput = state.throughput_mbps * np.exp(THROUGHPUT_LOG_SD * rng.standard_normal(n))
    rtt = state.rtt_ms * np.exp(RTT_LOG_SD * rng.standard_normal(n))
    jitter = state.jitter_ms * np.exp(JITTER_LOG_SD * rng.standard_normal(n))
    active = np.minimum(ACTIVE_SHARE * np.exp(0.4 * rng.standard_normal(n)), 1.0)
    packets = np.maximum(throughput * 1e6 / 8 * 60 * active / MSS_BYTES, 1.0)
    answered = 0.02 + 0.1 * rng.random(n)
    # Counts last: how much randomness they use up depends on the state.
    retransmits = np.minimum(rng.poisson(packets * state.loss), packets)
    sent = (packets * MSS_BYTES).astype(np.int64)
    window = np.maximum(throughput / streams * 1e6 / 8 * rtt / 1e3 / MSS_BYTES, 1.0)
    queue = np.minimum(20 * state.utilization / (1 - state.utilization), 1000.0)
    return Sample(
        rtt, jitter, throughput, sent, (sent * answered).astype(np.int64), retransmits / packets,
        retransmits.astype(np.int64), window.astype(np.int64), rng.poisson(queue).astype(np.int64),
    )  # fmt: skip
