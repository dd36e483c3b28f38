"""Small synthetic batches through the real codec, to compile kernels before the first record."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from schemas.batch import Batch
from schemas.codec import codec_of
from schemas.compression import CompressionTelemetry
from schemas.network import NetworkSample
from schemas.system import METRICS, SystemMetrics
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED, SYSTEM_KEYED, Topic


def batch_of(topic: Topic, records: Sequence[Struct], keys: Sequence[bytes | None]) -> Batch:
    """A batch of partition 0 with offsets from 0.

    Parameters
    ----------
    topic
        A topic whose record type is that of `records`.
    records
        The rows.
    keys
        One per record.
    """
    assert topic.record is not None
    n = len(records)
    columns = codec_of(topic.record).columns(records)
    origin = [b"%s/0/%d" % (topic.name.encode(), i) for i in range(n)]
    return Batch(topic, 0, columns, list(keys), np.arange(n, dtype=np.int64), origin)


def network_batch(timestamps_ms: Sequence[int]) -> Batch:
    """Samples of one link at these times."""
    records = [
        NetworkSample(
            timestamp=t, node_id="a", peer_id="b", rtt_ms=20.0, jitter_ms=1.0, throughput_mbps=500.0, packet_loss=0.0
        )
        for t in timestamps_ms
    ]
    return batch_of(NETWORK_KEYED, records, [b"a:b"] * len(records))


def compression_batch(timestamps_ms: Sequence[int]) -> Batch:
    """Transfers of one link at these times, with outcomes."""
    records = [
        CompressionTelemetry(
            event_id=f"e{i}",
            timestamp=t,
            node_id="a",
            peer_id="b",
            link_type="wan",
            bandwidth_available_mbps=500.0,
            rtt_ms=20.0,
            payload_size=1 << 20,
            outcome_hde_compression_ratio=4.0,
            outcome_hde_latency_ms=10.0,
            outcome_hde_cpu_usage=40.0,
            outcome_amst_transfer_rate_mbps=400.0,
            outcome_amst_latency_ms=10.0 + i,
            outcome_amst_cpu_usage=20.0,
        )
        for i, t in enumerate(timestamps_ms)
    ]
    return batch_of(COMPRESSION_KEYED, records, [b"a:b"] * len(records))


def system_batch(timestamps_ms: Sequence[int]) -> Batch:
    """Metrics of one node at these times."""
    metrics = dict.fromkeys(METRICS, 50.0)
    records = [SystemMetrics(timestamp=t, node_id="a", **metrics) for t in timestamps_ms]
    return batch_of(SYSTEM_KEYED, records, [b"a"] * len(records))
