"""Microseconds per record of each codec, on one core; prints JSON.

Records are keyed network samples and compression telemetry as the simulator makes them:
`json` and `avro` are `schemas.codec`, ranges checked; `json_read` is to columns; `avro_older_writer` is resolved
against ours; `fastavro` and `avro_package` are the bare libraries.

    PYTHONPATH=. python tests/bench/codec.py --records 20000 --json
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import avro.io
import avro.schema
import fastavro
import msgspec
import numpy as np

from schemas.avro.frame import confluent_prefix, single_object_prefix
from schemas.avro.reader import parsed
from schemas.avro.schema import schema_of
from schemas.codec import Codec
from schemas.compression import CompressionTelemetry
from schemas.network import NetworkSample

SAMPLE = NetworkSample(
    timestamp=1_767_323_045_123, node_id="node-0001", peer_id="node-0002", rtt_ms=41.25, jitter_ms=1.5,
    throughput_mbps=893.75, packet_loss=0.0125, bytes_tx=1_000_000, bytes_rx=10_000, retransmits=3,
    congestion_window=64, queue_depth=3, region="us-east", az="a", link_type="wan",
)  # fmt: skip
TRANSFER = CompressionTelemetry(
    event_id="node-0001/123456", timestamp=1_767_323_045_123, node_id="node-0001", peer_id="node-0002",
    link_type="wan", bandwidth_available_mbps=893.75, rtt_ms=41.25, payload_size=1 << 28, region="us-east",
    bandwidth_utilization=35.5, payload_type="vm_memory", entropy_estimate=6.25, repetition_score=12.5,
    has_baseline=True, hde_compression_ratio=3.25, hde_delta_hit_rate=55.5, hde_latency_ms=125.5, hde_cpu_usage=35.5,
    amst_stream_count=16, amst_transfer_rate_mbps=755.5, amst_latency_ms=91.25, amst_cpu_usage=12.5,
    quality_score=1.0, is_training_candidate=True,
)  # fmt: skip
REPEATS = 7


class _Older:
    """A registry with one schema: ours before its last field."""

    def __init__(self, schema: dict[str, Any]) -> None:
        self._text = json.dumps(schema)

    def writer_schema(self, schema_id: int) -> str:
        return self._text


def best_us(call: Callable[[], Any], records: int) -> float:
    """Best of several runs, which is the one least disturbed, in us per record."""
    spent = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        call()
        spent.append(time.perf_counter() - start)
    return round(1e6 * min(spent) / records, 3)


def others_to_columns(lines: list[bytes], names: tuple[str, ...]) -> dict[str, float]:
    """What other JSON libraries take to columns, where they are installed; neither checks types or ranges."""
    found = {}
    try:
        import orjson

        def by_orjson() -> dict[str, Any]:
            rows = [orjson.loads(line) for line in lines]
            kinds = {name: type(rows[0][name]) for name in names}
            return {
                name: np.array([row[name] for row in rows])
                if kinds[name] in (int, float)
                else [row[name] for row in rows]
                for name in names
            }

        found["orjson_to_columns"] = best_us(by_orjson, len(lines))
    except ImportError:
        pass
    try:
        from pyarrow import json as arrow

        def by_arrow() -> dict[str, Any]:  # one document for all: a bad record takes the others with it
            options = arrow.ReadOptions(use_threads=False, block_size=1 << 28)
            table = arrow.read_json(io.BytesIO(b"\n".join(lines)), read_options=options)
            return {name: table[name].to_numpy() for name in names}

        found["pyarrow_to_columns"] = best_us(by_arrow, len(lines))
    except ImportError:
        pass
    return found


def measure(record: Any, n: int) -> dict[str, float]:
    schema = schema_of(type(record))
    older = {**schema, "fields": schema["fields"][:-1]}
    as_json = Codec(type(record), _Older(older))
    as_avro = Codec(type(record), avro_prefix=single_object_prefix(schema))
    columns = as_json.columns([record] * n)
    lines, framed = as_json.encode(columns), as_avro.encode(columns)
    datum = msgspec.to_builtins(record)
    body = framed[0][10:]
    plain = parsed(schema)
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, parsed(older), {f["name"]: datum[f["name"]] for f in older["fields"]})
    behind = [confluent_prefix(1) + stream.getvalue()] * n
    mixed = [value for pair in zip(lines, framed, strict=True) for value in pair][:n]
    official = avro.schema.parse(json.dumps(plain))
    few = max(1, n // 20)

    def fastavro_encode() -> None:
        for _ in range(n):
            fastavro.schemaless_writer(io.BytesIO(), plain, datum)

    def avro_encode() -> None:
        for _ in range(few):
            avro.io.DatumWriter(official).write(datum, avro.io.BinaryEncoder(io.BytesIO()))

    def avro_decode() -> None:
        for _ in range(few):
            avro.io.DatumReader(official).read(avro.io.BinaryDecoder(io.BytesIO(body)))

    return {
        "json_bytes": len(lines[0]),
        "avro_bytes": len(framed[0]),
        "json_decode": best_us(lambda: as_json.decode(lines), n),
        "json_encode": best_us(lambda: as_json.encode(columns), n),
        "json_read": best_us(lambda: as_json.read(lines), n),
        "columns": best_us(lambda: as_json.columns([record] * n), n),
        "msgspec_to_columns": best_us(lambda: as_json.columns(as_json.decode(lines)[0]), n),
        **others_to_columns(lines, as_json.fields),
        "avro_decode": best_us(lambda: as_avro.decode(framed), n),
        "avro_encode": best_us(lambda: as_avro.encode(columns), n),
        "avro_older_writer_decode": best_us(lambda: as_json.decode(behind), n),
        "mixed_decode": best_us(lambda: as_avro.decode(mixed), n),
        "fastavro_decode": best_us(
            lambda: [fastavro.schemaless_reader(io.BytesIO(body), plain, None) for _ in lines], n
        ),
        "fastavro_encode": best_us(fastavro_encode, n),
        "avro_package_decode": best_us(avro_decode, few),
        "avro_package_encode": best_us(avro_encode, few),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=20_000, help="records per run, best of 7 runs")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    found = {type(r).__name__: measure(r, options.records) for r in (SAMPLE, TRANSFER)}
    if options.json:
        sys.stdout.write(json.dumps({"us_per_record": found}, indent=1) + "\n")
        return
    for name, row in found.items():
        sys.stdout.write(f"{name}\n" + "".join(f"  {key:26} {value:8.2f}\n" for key, value in row.items()))


if __name__ == "__main__":
    main()
