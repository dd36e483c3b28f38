"""Seeded streams of real records, and the ways of cutting them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from online_models.sample import batch_of
from schemas.batch import Batch, Result
from schemas.codec import codec_of
from schemas.compression import CompressionTelemetry
from schemas.network import NetworkSample
from schemas.system import METRICS, SystemMetrics
from schemas.topic import COMPRESSION_KEYED, NETWORK_KEYED, SYSTEM_KEYED, Topic

START_MS = 1_700_000_040_000
MINUTE_MS = 60_000
LINK_TYPES = ("dc", "metro", "wan", "edge")

NORMAL = {
    "latency_mean": 127.4,
    "latency_std": 48.3,
    "latency_p95": 198.7,
    "latency_p99": 287.4,
    "throughput_mean": 2847.0,
    "throughput_std": 487.0,
    "error_rate": 0.34,
    "error_count": 9.0,
    "cpu_usage": 58.2,
    "memory_usage": 61.5,
    "disk_usage": 50.0,
    "network_io": 100.0,
    "disk_io": 50.0,
    "compression_ratio": 3.47,
    "prediction_accuracy": 80.0,
    "consensus_time": 45.7,
}


def sample(timestamp: int, rate: float = 500.0, rtt: float = 20.0, **fields: Any) -> NetworkSample:
    """A network sample of link a:b."""
    known = {"node_id": "a", "peer_id": "b", "jitter_ms": 1.0, "packet_loss": 0.0} | fields
    return NetworkSample(timestamp=timestamp, throughput_mbps=rate, rtt_ms=rtt, **known)


def samples_of(records: Sequence[NetworkSample]) -> Batch:
    return batch_of(NETWORK_KEYED, records, [f"{r.node_id}:{r.peer_id}".encode() for r in records])


def transfer(event: str, timestamp: int, **fields: Any) -> CompressionTelemetry:
    """A transfer of link a:b without history or outcomes."""
    known: dict[str, Any] = {
        "node_id": "a",
        "peer_id": "b",
        "link_type": "wan",
        "bandwidth_available_mbps": 500.0,
        "rtt_ms": 20.0,
        "payload_size": 1 << 20,
    }
    return CompressionTelemetry(event_id=event, timestamp=timestamp, **(known | fields))


def transfers_of(records: Sequence[CompressionTelemetry]) -> Batch:
    return batch_of(COMPRESSION_KEYED, records, [f"{r.node_id}:{r.peer_id}".encode() for r in records])


def metrics(timestamp: int, node: str = "n0", **fields: float) -> SystemMetrics:
    return SystemMetrics(timestamp=timestamp, node_id=node, **(NORMAL | fields))


def metrics_of(records: Sequence[SystemMetrics]) -> Batch:
    return batch_of(SYSTEM_KEYED, records, [r.node_id.encode() for r in records])


def network_stream(minutes: int, links: int, seed: int = 0) -> list[NetworkSample]:
    """Links with a daily cycle and autocorrelated noise, one sample a minute each."""
    rng = np.random.default_rng(seed)
    noise = np.zeros((links, 4))
    records = []
    for minute in range(minutes):
        noise = 0.9 * noise + 0.4 * rng.normal(size=noise.shape)
        timestamp = START_MS + minute * MINUTE_MS
        cycle = 1.0 + 0.3 * np.sin(2 * np.pi * (timestamp % 86_400_000) / 86_400_000)
        records += [
            sample(
                timestamp + 137 * k,
                rate=float(max(200.0 * (k + 1) * cycle * (1 + 0.1 * noise[k, 0]), 1.0)),
                rtt=float(max(10.0 * (k + 1) / cycle * (1 + 0.1 * noise[k, 1]), 0.1)),
                packet_loss=float(np.clip(0.01 + 0.01 * noise[k, 2], 0.0, 1.0)),
                jitter_ms=float(max(1.0 + 0.3 * noise[k, 3], 0.0)),
                node_id=f"n{k}",
                link_type=LINK_TYPES[k % 4],
                bytes_tx=int(rng.integers(1 << 30)),
                bytes_rx=int(rng.integers(1 << 30)),
                queue_depth=int(rng.integers(50)),
                retransmits=int(rng.integers(9)),
                region=("us-east", "eu-west", "")[k % 3],
            )
            for k in range(links)
        ]
    return records


def transfer_stream(n: int, seed: int = 0, noise: float = 0.2, links: int = 12) -> list[CompressionTelemetry]:
    """Transfers whose outcomes are their history times log-normal noise; both classes frequent."""
    rng = np.random.default_rng(seed)
    records = []
    for i in range(n):
        k = int(rng.integers(links))
        lately = {
            "hde_compression_ratio": 1.0 + rng.lognormal(1.0, 0.8),
            "hde_latency_ms": rng.lognormal(2.0, 0.6),
            "hde_cpu_usage": min(rng.lognormal(3.3, 0.4), 90.0),
            "amst_transfer_rate_mbps": rng.lognormal(4.6, 1.0),
            "amst_latency_ms": rng.lognormal(1.5, 0.6),
            "amst_cpu_usage": min(rng.lognormal(2.7, 0.4), 90.0),
        }
        happened = {f"outcome_{name}": value * rng.lognormal(0.0, noise) for name, value in lately.items()}
        for side in ("hde", "amst"):
            happened[f"outcome_{side}_cpu_usage"] = min(happened[f"outcome_{side}_cpu_usage"], 100.0)
        if rng.random() < 0.05:
            del lately["hde_compression_ratio"]
        records.append(
            transfer(
                f"e{seed}-{i}",
                START_MS + 50 * i,
                node_id=f"n{k}",
                link_type=LINK_TYPES[k % 4],
                bandwidth_available_mbps=float(rng.lognormal(6.0, 1.0)),
                rtt_ms=float(rng.lognormal(2.0, 1.0)),
                payload_size=int(rng.lognormal(14.0, 2.0)) + 1,
                payload_type=("vm_memory", "disk_block", "file", "stream")[i % 4],
                region=("us-east", "eu-west", "ap-south")[k % 3],
                entropy_estimate=None if i % 7 == 0 else float(rng.uniform(0.0, 8.0)),
                hde_delta_hit_rate=float(rng.uniform(0.0, 100.0)),
                amst_stream_count=int(rng.integers(1, 64)),
                **{name: float(value) for name, value in (lately | happened).items()},
            )
        )
    return records


def metric_stream(steps: int, nodes: int, seed: int = 0) -> list[SystemMetrics]:
    """Nodes whose metrics wander a few percent around the documented baselines, one record per 5 s."""
    rng = np.random.default_rng(seed)
    walk = np.zeros((nodes, len(METRICS)))
    records = []
    for step in range(steps):
        walk = 0.8 * walk + 0.6 * rng.normal(size=walk.shape)
        for k in range(nodes):
            fields = {name: NORMAL[name] * (1.0 + 0.05 * walk[k, j]) for j, name in enumerate(METRICS)}
            records.append(metrics(START_MS + 5000 * step, f"n{k}", **fields))
    return records


def disturb(records: Sequence[Any], seed: int = 0, late_ms: int = 11 * MINUTE_MS) -> list[Any]:
    """The same records with repeats, some held back a while and a few sent again far too late."""
    rng = np.random.default_rng(seed)
    out: list[Any] = []
    held: list[tuple[int, Any]] = []
    for at, record in enumerate(records):
        luck = rng.random()
        if luck < 0.05:
            held.append((at + 30, record))
        else:
            out.append(record)
        if 0.05 < luck < 0.10:
            out.append(record)
        elif 0.10 < luck < 0.12:
            out.extend(r for r in records[:at:97] if record.timestamp - r.timestamp > late_ms)
        while held and held[0][0] <= at:
            out.append(held.pop(0)[1])
    return out


def cuts(batch: Batch, seed: int) -> Iterator[Batch]:
    """Random pieces of a batch, in order; some hold one row."""
    rng = np.random.default_rng(seed)
    at = 0
    while at < len(batch):
        to = min(at + int(rng.choice([1, 2, 7, 100, 400])), len(batch))
        columns = {name: column[at:to] for name, column in batch.columns.items()}
        yield Batch(batch.topic, 0, columns, batch.key[at:to], batch.offset[at:to], batch.origin[at:to])
        at = to


def encoded(results: Sequence[tuple[int, Result]]) -> dict[Any, list[Any]]:
    """Every output as bytes with its absolute row, by topic, and every rejection.

    Parameters
    ----------
    results
        Results with the absolute row of their first record.
    """
    found: dict[Any, list[Any]] = {}
    for base, result in results:
        for topic, output in result.outputs.items():
            found.setdefault(topic.name, []).extend(
                zip((output.row + base).tolist(), lines(topic, output), strict=True)
            )
        for rejection in result.rejected:
            found.setdefault("rejected", []).append((rejection.row + base, str(rejection.error)))
    return found


def lines(topic: Topic, output: Any) -> list[bytes]:
    """Records of an output, encoded as the runner does."""
    assert topic.record is not None
    return codec_of(topic.record).encode({**output.columns, "id": ["id"] * len(output.row)})


def run_cut(state: Any, batch: Batch, seed: int) -> dict[Any, list[Any]]:
    """Encoded outputs of a batch fed in random pieces."""
    return encoded([(int(piece.offset[0]), state.step(piece)) for piece in cuts(batch, seed)])
