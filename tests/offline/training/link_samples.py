"""Small fleets of links, as records and as files of every kind that can be trained on."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
import numpy as np

from offline.training.bandwidth_sample import Samples, order_samples
from offline.training.bandwidth_trace import Trace, trace
from schemas.codec import codec_of
from schemas.field import DWCP_MODES, LINK_TYPES, TRANSPORT_TYPES
from schemas.key import key_of
from schemas.network import HORIZON_MS, NetworkSample
from schemas.topic import NETWORK_KEYED
from streams.recording.file import RecordingFile
from streams.recording.format import Recorded

START_MS: Final = 1_767_571_200_000
MINUTE_MS: Final = 60_000


def make_records(minutes: int, links: int, seed: int = 0) -> list[NetworkSample]:
    """Links of all types with a daily cycle and autocorrelated noise, a sample a minute, jittered by seconds."""
    rng = np.random.default_rng(seed)
    noise = np.zeros((links, 4))
    records = []
    for minute in range(minutes):
        noise = 0.95 * noise + 0.3 * rng.normal(size=noise.shape)
        for k in range(links):
            time_ms = START_MS + minute * MINUTE_MS + 997 * k + int(rng.integers(0, 3000))
            cycle = 1.0 + 0.3 * np.sin(2 * np.pi * minute / 1440)
            x = np.array([200.0 * (k + 1), 10.0 * (k + 1), 0.001, 2.0]) * cycle * np.exp(0.2 * noise[k])
            records.append(
                NetworkSample(
                    timestamp=time_ms, node_id=f"n{k}", peer_id=f"n{k + 1}", throughput_mbps=float(x[0]),
                    rtt_ms=float(x[1]), packet_loss=float(x[2]), jitter_ms=float(x[3]),
                    bytes_tx=int(rng.integers(1, 1 << 33)), bytes_rx=int(rng.integers(0, 1 << 20)),
                    retransmits=int(rng.integers(0, 50)), congestion_window=int(rng.integers(1, 99)),
                    queue_depth=int(rng.integers(0, 40)), region="us-east", az=f"us-east-{k}",
                    link_type=LINK_TYPES[k % 4], dwcp_mode=DWCP_MODES[k % 3], network_tier=1 + k % 3,
                    transport_type=TRANSPORT_TYPES[k % 3],
                )
            )  # fmt: skip
    return records


def table_of(records: Sequence[NetworkSample]) -> Samples:
    return order_samples([codec_of(NetworkSample).columns(list(records))])


@cache
def small_trace() -> Trace:
    """Fifteen hours of four links."""
    return trace(table_of(make_records(900, 4)), HORIZON_MS)


@cache
def long_trace() -> Trace:
    """Four days of two links."""
    return trace(table_of(make_records(5760, 2)), HORIZON_MS)


def keyed(records: Sequence[NetworkSample]) -> list[Recorded]:
    return [
        Recorded(NETWORK_KEYED.name, 0, k, r.timestamp, key_of(r.node_id, r.peer_id), msgspec.json.encode(r))
        for k, r in enumerate(records)
    ]


def write_recording(path: Path, records: Sequence[NetworkSample]) -> Path:
    with RecordingFile(path) as file:
        file.write(keyed(records))
    return path


CSV_COLUMNS: Final = (
    "timestamp", "region", "az", "link_type", "node_id", "peer_id", "rtt_ms", "jitter_ms", "throughput_mbps",
    "bytes_tx", "bytes_rx", "packet_loss", "retransmits", "congestion_window", "queue_depth", "dwcp_mode",
    "network_tier", "transport_type", "time_of_day", "day_of_week", "bandwidth_mbps", "latency_ms",
)  # fmt: skip
"""The 22 columns of the training file, in their order."""


def write_csv(path: Path, records: Sequence[NetworkSample]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for r in records:
            at = datetime.fromtimestamp(r.timestamp / 1000, UTC)
            row = {name: getattr(r, name, None) for name in CSV_COLUMNS} | {
                "timestamp": at.isoformat(), "time_of_day": at.hour, "day_of_week": at.weekday(),
                "bandwidth_mbps": r.throughput_mbps, "latency_ms": r.rtt_ms,
            }  # fmt: skip
            writer.writerow([row[name] for name in CSV_COLUMNS])
    return path
