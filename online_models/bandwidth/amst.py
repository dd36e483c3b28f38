"""Transport parameters of AMST for a forecast link, and whether to apply them.

Domain facts, section 4. Products are taken in the order written there, so that
truncation falls as it does in the source.
"""

from __future__ import annotations

from typing import Final

from numba import njit

STREAMS: Final = (2, 256)
BUFFER_BYTES: Final = (16_384, 1_048_576)
CHUNK_BYTES: Final = (8_192, 131_072)
START: Final = 16
"""Streams of a link before anything was applied."""

ACTIONS: Final = ("skip", "hold", "adjust", "apply", "preempt")
REASONS: Final = (
    "confidence below 0.6",
    "confidence or change too small to adjust",
    "streams change by more than 20 %",
    "confidence at least 0.8",
    "predicted conditions differ from current by more than 15 %",
)
"""Why, by the index of the action."""

OTHER_HORIZON: Final = "transport follows the forecast 15 minutes ahead"
"""Why parameters of forecasts at other horizons are always skipped."""

SKIP: Final = 0
HOLD: Final = 1
ADJUST: Final = 2
APPLY: Final = 3
PREEMPT: Final = 4


@njit(cache=True)
def transport(
    bandwidth_mbps: float, latency_ms: float, packet_loss: float, jitter_ms: float, tuned: float = 1.0
) -> tuple[int, int, int, int, int]:
    """Parameters for one link.

    Parameters
    ----------
    tuned
        What the formula's streams are multiplied by, beyond the contract; 1 is the formula.

    Returns
    -------
    streams, buffer_bytes, chunk_bytes, pacing_bytes_per_second, window_bytes
    """
    factor = 1.0
    if latency_ms > 100.0:
        factor = 0.7
    elif latency_ms < 20.0:
        factor = 1.3
    streams = int(int(bandwidth_mbps / 10.0) * factor)
    if packet_loss > 0.02:
        streams = streams * 3 // 4
    if tuned != 1.0:
        streams = int(streams * tuned)
    streams = min(max(streams, STREAMS[0]), STREAMS[1])
    bytes_per_second = bandwidth_mbps * 1e6 / 8.0
    buffer = int(bytes_per_second * latency_ms / 1000.0) + int(jitter_ms * bytes_per_second / 1000.0)
    buffer = min(max(buffer, BUFFER_BYTES[0]), BUFFER_BYTES[1])
    chunk = buffer // streams
    if packet_loss > 0.02:
        chunk //= 2
    chunk = min(max(chunk, CHUNK_BYTES[0]), CHUNK_BYTES[1])
    return streams, buffer, chunk, int(bytes_per_second * 0.95), buffer * streams


@njit(cache=True)
def _changed(new: float, old: float, share: float) -> bool:
    return abs(new - old) > share * abs(old)


@njit(cache=True)
def decide(
    confidence: float,
    streams: int,
    current_streams: int,
    predicted_bandwidth_mbps: float,
    predicted_latency_ms: float,
    bandwidth_mbps: float,
    latency_ms: float,
) -> int:
    """Index into `ACTIONS`: what to do with new parameters.

    Pre-emption looks at the link's conditions, not at the streams they lead to, and
    outranks a plain apply; an adjust needs less confidence than either.
    """
    if confidence < 0.6:
        return SKIP
    if confidence > 0.85 and (
        _changed(predicted_bandwidth_mbps, bandwidth_mbps, 0.15) or _changed(predicted_latency_ms, latency_ms, 0.15)
    ):
        return PREEMPT
    if confidence >= 0.8:
        return APPLY
    if confidence >= 0.7 and _changed(streams, current_streams, 0.2):
        return ADJUST
    return HOLD
