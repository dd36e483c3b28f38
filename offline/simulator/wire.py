"""Columns to the JSON that Go daemons send, each host in its own dialect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct, defstruct
from numpy.typing import NDArray

from offline.simulator.bank import Bank
from offline.simulator.delivery import Records
from offline.simulator.history import AMST, HDE
from offline.simulator.host import PERIOD_MS
from offline.simulator.probe import Sample
from offline.simulator.topology import ALIAS, INTEGER, SHORT, Topology
from offline.simulator.transfer import Transfers, naive_uses_hde
from schemas.batch import object_column
from schemas.codec import codec_of
from schemas.compression import CompressionTelemetry
from schemas.field import ALGORITHMS, DWCP_MODES, LINK_TYPES, PAYLOAD_TYPES, TRANSPORT_TYPES
from schemas.system import SystemMetrics

I64 = NDArray[np.int64]

_LINK_ALIASES = ("datacenter", *LINK_TYPES[1:])
_TIERS = ("Premium", "Standard", "Economy")
_COMPUTED = ("quality_score", "is_training_candidate")


class NetworkSampleFull(Struct, frozen=True, gc=False):
    """The collector's 22 columns, in their order."""

    timestamp: Any
    region: Any
    az: Any
    link_type: Any
    node_id: Any
    peer_id: Any
    rtt_ms: Any
    jitter_ms: Any
    throughput_mbps: Any
    bytes_tx: Any
    bytes_rx: Any
    packet_loss: Any
    retransmits: Any
    congestion_window: Any
    queue_depth: Any
    dwcp_mode: Any
    network_tier: Any
    transport_type: Any
    time_of_day: Any
    day_of_week: Any
    bandwidth_mbps: Any
    latency_ms: Any


class NetworkSampleShort(Struct, frozen=True, gc=False):
    """The collector's short form."""

    bandwidth_mbps: Any
    latency_ms: Any
    packet_loss: Any
    jitter_ms: Any
    time_of_day: Any
    day_of_week: Any
    node_id: Any
    peer_id: Any
    timestamp: Any


class Saying(NamedTuple):
    """A field under another name, in that name's unit."""

    name: str
    column: Callable[[NDArray[np.float64]], NDArray[Any]]


def _nanoseconds(ms: NDArray[np.float64]) -> NDArray[Any]:
    """As Go writes a `time.Duration`: an integer, or null."""
    return _integers(ms * 1e6)


def _bytes_per_second(mbps: NDArray[np.float64]) -> NDArray[Any]:
    return _integers(mbps * 1e6 / 8)


def _hundredth(percent: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.round(percent / 100, 6)


SAYINGS: Mapping[int, Mapping[str, Saying]] = {
    INTEGER: {
        "latency_ms": Saying("latency_ns", _nanoseconds),
        "jitter_ms": Saying("jitter", _nanoseconds),
        "hde_latency_ms": Saying("hde_latency", _nanoseconds),
        "amst_latency_ms": Saying("amst_latency_ns", _nanoseconds),
        "hde_delta_hit_rate": Saying("hde_delta_hit_ratio", _hundredth),
    },
    ALIAS: {
        "packet_loss": Saying("packet_loss_percent", lambda ratio: np.round(ratio * 100, 7)),
        "jitter_ms": Saying("jitter_variance_ms2", lambda ms: np.round(ms**2, 8)),
        "bandwidth_utilization": Saying("utilization", _hundredth),
        "hde_delta_hit_rate": Saying("delta_hit_rate", _hundredth),
        "entropy_estimate": Saying("entropy_normalized", lambda bits: np.round(bits / 8, 6)),
        "amst_transfer_rate_mbps": Saying("transfer_rate", _bytes_per_second),
        "cpu_usage": Saying("cpu_usage", _hundredth),
    },
}
"""What two dialects say in other units, by canonical field."""

UNITS = {"utilization": "ratio", "delta_hit_rate": "ratio", "transfer_rate": "B/s", "cpu_usage": "ratio"}
"""Units of those names that do not say theirs: the record declares them."""


def network_values(topology: Topology, time_ms: I64, sample: Sample) -> list[bytes]:
    """One value per link, in link order."""
    columns: dict[str, Any] = {
        "region": topology.link_region,
        "az": topology.link_az,
        "node_id": topology.link_node,
        "peer_id": topology.link_peer,
        "dwcp_mode": topology.mode,
        "network_tier": topology.network_tier,
        "transport_type": topology.transport,
        "link_type": topology.link_type,
        "time_of_day": time_ms // 3_600_000 % 24,
        "timestamp": time_ms,
        **{name: _rounded(column, 9 if name == "packet_loss" else 4) for name, column in sample._asdict().items()},
    }
    columns["bandwidth_mbps"], columns["latency_ms"] = columns["throughput_mbps"], columns["rtt_ms"]
    return _by_dialect(topology.link_dialect, columns, _network_dialect)


def system_values(topology: Topology, time_ms: I64, node: I64, metrics: Mapping[str, Any]) -> list[bytes]:
    """One value per row; `time_ms`, `node` and each metric are arrays `[n]`."""
    columns = {name: _rounded(column, 4) for name, column in metrics.items()}
    columns |= {"timestamp": time_ms, "node_id": topology.node_id[node]}
    return _by_dialect(topology.node_dialect[node], columns, _system_dialect)


def system_records(
    topology: Topology, topic: str, time_ms: int, phase_ms: I64, metrics: Mapping[str, Any], keys: list[Any]
) -> Records:
    """Samples of every node, `PERIOD_MS` apart from `time_ms` and the node's phase on, in order of time.

    Parameters
    ----------
    metrics
        By name, `[sample, node]`.
    keys
        Of each node.
    """
    samples, nodes = next(iter(metrics.values())).shape
    at = (time_ms + np.arange(samples)[:, None] * PERIOD_MS + phase_ms).ravel()
    node = np.tile(np.arange(nodes), samples)
    order = np.argsort(at, kind="stable")
    columns = {name: column.ravel()[order] for name, column in metrics.items()}
    values = system_values(topology, at[order], node[order], columns)
    return Records.untouched("system", topic, [keys[n] for n in node[order].tolist()], values, at[order])


def compression_values(topology: Topology, bank: Bank, t: Transfers, serial: int) -> list[bytes]:
    """One value per transfer; `serial` numbers the first one of these in the run."""
    link, n = t.link, len(t)
    uses_hde = naive_uses_hde(t.has_baseline)
    result = t.result
    latency = np.where(uses_hde, result.hde_latency_ms, result.amst_latency_ms)
    moved_mbit = t.conditions.size_mib * (1 << 20) * 8e-6
    hidden_hde, hidden_amst = ~(t.shadow | uses_hde), ~(t.shadow | ~uses_hde)
    numbers = range(serial, serial + n)
    columns: dict[str, Any] = {
        "event_id": object_column([f"tx-{i:010d}" for i in numbers]),
        "request_id": object_column([f"req-{i:010d}" for i in numbers]),
        "session_id": object_column([f"ses-{i // 64:08d}" for i in numbers]),
        "vm_id": object_column([f"vm-{row:05x}" for row in (t.row * 4096 + link).tolist()]),
        "timestamp": t.start_ms.astype(np.int64),
        "node_id": topology.link_node[link],
        "peer_id": topology.link_peer[link],
        "link_type": topology.link_type[link],
        "region": topology.link_region[link],
        "network_tier": topology.network_tier[link],
        "bandwidth_available_mbps": t.seen_bandwidth_mbps,
        "bandwidth_utilization": t.seen_utilization_pct,
        "rtt_ms": t.seen_rtt_ms,
        "payload_size": (t.conditions.size_mib * (1 << 20)).astype(np.int64),
        "payload_type": t.payload_type,
        "entropy_estimate": t.seen_entropy,
        "repetition_score": t.seen_repetition,
        "has_baseline": t.has_baseline,
        "hde_compression_ratio": t.history[:, HDE, 0],
        "hde_delta_hit_rate": t.history[:, HDE, 1],
        "hde_latency_ms": t.history[:, HDE, 2],
        "hde_cpu_usage": t.history[:, HDE, 3],
        "amst_stream_count": _integers(t.history[:, AMST, 0]),
        "amst_transfer_rate_mbps": t.history[:, AMST, 1],
        "amst_latency_ms": t.history[:, AMST, 2],
        "amst_cpu_usage": t.history[:, AMST, 3],
        "actual_algorithm": np.where(uses_hde, 0, 1),
        "actual_latency_ms": latency,
        "actual_throughput_mbps": moved_mbit / latency * 1e3,
        "outcome_hde_compression_ratio": np.where(hidden_hde, np.nan, result.hde_ratio),
        "outcome_hde_latency_ms": np.where(hidden_hde, np.nan, result.hde_latency_ms),
        "outcome_hde_cpu_usage": np.where(hidden_hde, np.nan, result.hde_cpu_pct),
        "outcome_amst_transfer_rate_mbps": np.where(hidden_amst, np.nan, result.amst_rate_mbps),
        "outcome_amst_latency_ms": np.where(hidden_amst, np.nan, result.amst_latency_ms),
        "outcome_amst_cpu_usage": np.where(hidden_amst, np.nan, result.amst_cpu_pct),
    }
    columns = {name: _rounded(column, 4) for name, column in columns.items()}
    return _by_dialect(topology.link_dialect[link], columns, _compression_dialect)


def _network_dialect(dialect: int, columns: dict[str, Any]) -> tuple[type[Struct], dict[str, Any]]:
    # Go counts weekdays from Sunday, Python from Monday; the epoch was a Thursday.
    columns["day_of_week"] = (columns["timestamp"] // 86_400_000 + (3 if dialect == ALIAS else 4)) % 7
    enums = {"dwcp_mode": DWCP_MODES, "transport_type": TRANSPORT_TYPES}
    if dialect == SHORT:
        return NetworkSampleShort, _say(dialect, columns, enums)
    return _in_units(NetworkSampleFull, dialect, _say(dialect, columns, enums))


def _system_dialect(dialect: int, columns: dict[str, Any]) -> tuple[type[Struct], dict[str, Any]]:
    return _in_units(SystemMetrics, dialect, _say(dialect, columns, {}))


def _compression_dialect(dialect: int, columns: dict[str, Any]) -> tuple[type[Struct], dict[str, Any]]:
    enums = {"payload_type": PAYLOAD_TYPES, "actual_algorithm": ALGORITHMS}
    return _in_units(CompressionTelemetry, dialect, _say(dialect, columns, enums))


def _in_units(record: type[Struct], dialect: int, columns: dict[str, Any]) -> tuple[type[Struct], dict[str, Any]]:
    """The record a dialect sends, with its names and units."""
    sayings = {name: saying for name, saying in SAYINGS.get(dialect, {}).items() if name in columns}
    for name, saying in sayings.items():
        columns[saying.name] = saying.column(columns.pop(name))
    units = {saying.name: UNITS[saying.name] for saying in sayings.values() if saying.name in UNITS}
    if units:
        columns["units"] = object_column([units] * len(columns["timestamp"]))
    sent = [name for name in record.__struct_fields__ if name not in _COMPUTED]
    names = tuple(sayings[name].name if name in sayings else name for name in sent)
    return _record((*names, "units") if units else names), columns


@cache
def _record(fields: tuple[str, ...]) -> type[Struct]:
    return defstruct("Sent", [(name, Any) for name in fields], frozen=True, gc=False)


def _say(dialect: int, columns: dict[str, Any], enums: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Put times, enums and tiers into a dialect's words, in place."""
    if dialect == INTEGER:
        return columns
    columns["timestamp"] = rfc3339(columns["timestamp"])
    for name, words in enums.items():
        columns[name] = _words(words)[columns[name]]
    if "link_type" in columns:
        columns["link_type"] = _words(_LINK_ALIASES if dialect == ALIAS else LINK_TYPES)[columns["link_type"]]
    if "network_tier" in columns and dialect == ALIAS:
        columns["network_tier"] = _words(_TIERS)[columns["network_tier"] - 1]
    return columns


def rfc3339(time_ms: I64) -> NDArray[Any]:
    """Times as Go's `RFC3339Nano`: UTC, nanoseconds that do not change the millisecond.

    >>> str(rfc3339(np.array([1767571200123]))[0])
    '2026-01-05T00:00:00.123123456Z'
    """
    nanoseconds = time_ms * 1_000_000 + 123_456
    return np.char.add(np.datetime_as_string(nanoseconds.astype("M8[ns]"), unit="ns"), "Z")


_Dialect = Callable[[int, dict[str, Any]], tuple[type[Struct], dict[str, Any]]]


def _by_dialect(dialects: I64, columns: Mapping[str, Any], say: _Dialect) -> list[bytes]:
    """Encode each dialect's rows together and put them back in order."""
    values: list[bytes] = [b""] * len(dialects)
    for dialect in np.unique(dialects).tolist():
        rows = np.flatnonzero(dialects == dialect)
        record, said = say(dialect, {name: column[rows] for name, column in columns.items()})
        for row, line in zip(rows.tolist(), codec_of(record).encode(said), strict=True):
            values[row] = line
    return values


def _rounded(column: Any, decimals: int) -> Any:
    """Floats as a producer would print them; shorter text, and faster to write."""
    return np.round(column, decimals) if column.dtype == np.float64 else column


def _integers(column: NDArray[np.float64]) -> NDArray[Any]:
    return object_column([None if value != value else round(value) for value in column.tolist()])


def _words(words: Sequence[str]) -> NDArray[Any]:
    return object_column(words)
