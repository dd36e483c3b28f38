"""Avro on the wire: every record survives it, and fastavro and avro agree on what it is."""

from __future__ import annotations

import io
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import avro.io
import avro.schema
import fastavro
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.avro.frame import confluent_prefix, fingerprint_of, single_object_prefix
from schemas.avro.reader import parsed
from schemas.avro.schema import schema_of
from schemas.batch import Batch
from schemas.codec import Codec, codec_of
from schemas.constraint import checks_of
from schemas.error import DecodeError, InfraError, ValidationError
from schemas.network import NetworkSample
from schemas.raw import RawNetworkSample
from schemas.system import SystemMetrics
from schemas.topic import COMPRESSION_KEYED, INPUTS, KEYED, NETWORK_KEYED, NETWORK_RAW, Topic
from tests.schemas.generated import INGEST, TOPICS_WITH_RECORD, WRITTEN, records

ROOT = Path(__file__).parents[2]
SAMPLE = NetworkSample(
    timestamp=1_767_323_045_123, node_id="a", peer_id="b", rtt_ms=1.5, jitter_ms=0.5, throughput_mbps=9.0,
    packet_loss=0.1, region="us-east", link_type="edge", network_tier=1,
)  # fmt: skip
SCHEMA = schema_of(NetworkSample)

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
per_written = pytest.mark.parametrize("topic", WRITTEN, ids=lambda t: t.kind)


class Schemas:
    """A registry that is a dictionary."""

    def __init__(self, by_id: dict[int, Any]) -> None:
        self.by_id = by_id
        self.asked: list[int] = []

    def writer_schema(self, schema_id: int) -> str:
        self.asked.append(schema_id)
        if schema_id not in self.by_id:
            raise DecodeError("unknown_schema", f"no schema {schema_id}")
        schema = self.by_id[schema_id]
        return schema if isinstance(schema, str) else json.dumps(schema)


def written(record: Any, schema: Any, prefix: bytes | None = None) -> bytes:
    """What a producer elsewhere sends, made without our writer."""
    stream = io.BytesIO()
    datum = record if isinstance(record, dict) else msgspec.to_builtins(record)
    fastavro.schemaless_writer(stream, parsed(schema), datum)
    return (single_object_prefix(schema) if prefix is None else prefix) + stream.getvalue()


def avro_codec(topic: Topic) -> Codec[Any]:
    assert topic.record is not None
    return Codec(topic.record, avro_prefix=single_object_prefix(schema_of(topic.record)))


@per_written
@few
@given(data=st.data())
def test_every_record_round_trips_in_both_formats(topic: Topic, data: st.DataObject) -> None:
    sent = data.draw(st.lists(records(topic.record), max_size=4))
    for codec in (codec_of(topic.record), avro_codec(topic)):
        again, rejected = codec.decode(codec.encode(codec.columns(sent)))
        assert not rejected
        # Optional integers are held as float64: exact to 2**53, which no range exceeds.
        assert again == sent


@pytest.mark.parametrize("topic", TOPICS_WITH_RECORD, ids=lambda t: t.kind)
@few
@given(data=st.data())
def test_fastavro_and_avro_write_the_same_bytes_and_read_each_other(topic: Topic, data: st.DataObject) -> None:
    schema = schema_of(topic.record)
    keyed = {t.dataset: t.record for t in KEYED}
    canonical = keyed[topic.dataset] if topic in INPUTS else topic.record
    record = msgspec.to_builtins(data.draw(records(canonical)))
    datum = {field["name"]: record[field["name"]] for field in schema["fields"]}
    # avro turns logical types into datetimes; the bytes are those of the long.
    plain = avro.schema.parse(json.dumps(parsed(schema)))
    stream = io.BytesIO()
    avro.io.DatumWriter(plain).write(datum, avro.io.BinaryEncoder(stream))
    assert written(datum, schema, b"") == stream.getvalue()
    stream.seek(0)
    assert avro.io.DatumReader(plain).read(avro.io.BinaryDecoder(stream)) == datum
    assert fastavro.schemaless_reader(io.BytesIO(stream.getvalue()), parsed(schema), None) == datum


@pytest.mark.parametrize("topic", TOPICS_WITH_RECORD, ids=lambda t: t.kind)
def test_fingerprints_are_those_of_the_specification(topic: Topic) -> None:
    # avro's canonical form keeps {"type": "long"} where a logical type was, so it is asked about the plain schema.
    plain = parsed(schema_of(topic.record))
    assert fingerprint_of(schema_of(topic.record)) == avro.schema.parse(json.dumps(plain)).fingerprint("CRC-64-AVRO")


@pytest.mark.parametrize("raw", INPUTS, ids=lambda t: t.kind)
@few
@given(data=st.data())
def test_ingest_takes_avro_as_it_takes_json(raw: Topic, data: st.DataObject) -> None:
    keyed = {t.dataset: t.record for t in KEYED}[raw.dataset]
    schema = schema_of(raw.record)
    sent = msgspec.to_builtins(data.draw(records(keyed)))
    datum = {field["name"]: sent[field["name"]] for field in schema["fields"]}
    # A time so early that ingest takes it for seconds is ambiguous in either format.
    datum["timestamp"] = max(datum["timestamp"], 100_000_000_000)
    codec = codec_of(raw.record)
    found, rejected = codec.decode([msgspec.json.encode(datum), written(datum, schema)])
    assert not rejected
    batch = Batch(raw, 0, codec.columns(found), [None, None], np.arange(2), [b"o/0/0", b"o/0/1"])
    result = INGEST[raw.dataset]().step(batch)
    assert [r.row for r in result.rejected] in ([], [0, 1])
    if result.rejected:
        return
    (output,) = result.outputs.values()
    for name, column in output.columns.items():
        first, second = column[0], column[1]
        assert first == second or (first != first and second != second), name


def test_a_batch_may_mix_formats_and_isolates_what_is_broken() -> None:
    schemas = Schemas({7: SCHEMA})
    framed = written(SAMPLE, SCHEMA, confluent_prefix(7))
    values = [
        msgspec.json.encode(SAMPLE), written(SAMPLE, SCHEMA), framed, b"{", framed[:-1],
        written(SAMPLE, SCHEMA) + b"\0", None, framed, confluent_prefix(8) + framed[5:], written(SAMPLE, SCHEMA),
    ]  # fmt: skip
    found, rejected = Codec(NetworkSample, schemas).decode(values)
    assert found == [SAMPLE] * 5
    assert [(r.row, r.error.reason) for r in rejected] == [
        (3, "malformed"), (4, "malformed"), (5, "malformed"), (6, "empty"), (8, "unknown_schema"),
    ]  # fmt: skip
    assert schemas.asked == [7, 8], "an id is asked about once"


@pytest.mark.parametrize(
    ("value", "reason", "word"),
    [
        (b"\x00", "malformed", "Confluent frame"),
        (b"\x00\x00\x00\x00", "malformed", "Confluent frame"),
        (b"\x00\x00\x00\x00\x09", "unknown_schema", "DWCP_SCHEMA_REGISTRY_URL is not set"),
        (b"\xc3", "malformed", "neither JSON nor framed Avro"),
        (b"\xc3\x02", "malformed", "neither JSON nor framed Avro"),
        (b"\xc3\x01", "malformed", "single-object frame"),
        (b"\xc3\x01" + b"12345678", "unknown_schema", "3132333435363738"),
        (single_object_prefix(SCHEMA), "malformed", "EOFError"),
        (written(SAMPLE, SCHEMA)[:-1], "malformed", ""),
        (single_object_prefix(SCHEMA) + b"\xff" * 12, "malformed", ""),
        (single_object_prefix(SCHEMA) + b"\x02\x02\xff", "malformed", "UnicodeDecodeError"),
        (single_object_prefix(schema_of(SystemMetrics)) + b"\0", "unknown_schema", "NetworkSample"),
        (written(msgspec.structs.replace(SAMPLE, packet_loss=1.5), SCHEMA), "schema", "packet_loss"),
        (written(msgspec.structs.replace(SAMPLE, rtt_ms=math.nan), SCHEMA), "schema", "rtt_ms"),
        (written(msgspec.structs.replace(SAMPLE, rtt_ms=math.inf), SCHEMA), "schema", "rtt_ms"),
        (written(msgspec.structs.replace(SAMPLE, node_id=""), SCHEMA), "schema", "node_id"),
    ],
)
def test_a_bad_avro_record_says_what_is_wrong(value: bytes, reason: str, word: str) -> None:
    good = msgspec.json.encode(SAMPLE)
    found, ((row, error),) = codec_of(NetworkSample).decode([good, value, good])
    assert (len(found), row, error.reason) == (2, 1, reason)
    assert word in str(error)


def changed(**by_name: Any) -> dict[str, Any]:
    """The schema with fields replaced, or left out where None."""
    fields = [by_name.get(f["name"], f) for f in SCHEMA["fields"]]
    return {**SCHEMA, "fields": [f for f in fields if f]}


def test_an_older_or_newer_writer_is_resolved_against_our_schema() -> None:
    older = changed(region=None, queue_depth=None)
    newer = {**SCHEMA, "fields": [{"name": "mtu", "type": "long"}, *SCHEMA["fields"]]}
    narrow = changed(rtt_ms={"name": "rtt_ms", "type": "int"})
    micros = changed(
        timestamp={"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-micros"}, "default": 0}
    )
    codec = Codec(NetworkSample, Schemas({1: older, 2: newer, 3: narrow, 4: micros}))
    datum = msgspec.to_builtins(SAMPLE)
    found, rejected = codec.decode(
        [
            written({k: v for k, v in datum.items() if k not in ("region", "queue_depth")}, older, confluent_prefix(1)),
            written({**datum, "mtu": 1500}, newer, confluent_prefix(2)),
            written({**datum, "rtt_ms": 40}, narrow, confluent_prefix(3)),
            written({**datum, "timestamp": datum["timestamp"] * 1000}, micros, confluent_prefix(4)),
        ]
    )
    replace = msgspec.structs.replace
    assert found == [replace(SAMPLE, region=""), SAMPLE, replace(SAMPLE, rtt_ms=40.0)]
    ((row, error),) = rejected
    assert (row, error.reason) == (3, "schema"), "microseconds are no time in ms that could be"


@pytest.mark.parametrize(
    ("schema", "datum", "reason"),
    [
        (changed(rtt_ms={"name": "rtt_ms", "type": "string"}), {"rtt_ms": "1.5"}, "schema"),
        (changed(rtt_ms=None), {}, "schema"),
        ("not json", None, "unknown_schema"),
        ({"type": "record", "name": "X", "fields": [{"name": "a"}]}, None, "unknown_schema"),
        ({"type": "recrod", "name": "X", "fields": []}, None, "unknown_schema"),
        ("string", None, "unknown_schema"),
        ('"string"', None, "schema"),
        ("7", None, "unknown_schema"),
        ("[" * 100_000, None, "unknown_schema"),
    ],
)
def test_a_writer_s_schema_that_cannot_be_read_as_ours(schema: Any, datum: Any, reason: str) -> None:
    body = b"\x02a" if datum is None else written({**msgspec.to_builtins(SAMPLE), **datum}, schema, b"")
    found, ((_, error),) = Codec(NetworkSample, Schemas({1: schema})).decode([confluent_prefix(1) + body])
    assert (found, error.reason) == ([], reason)
    assert isinstance(error, DecodeError | ValidationError)


def test_a_registry_that_does_not_answer_is_not_the_record_s_fault() -> None:
    class Away:
        def writer_schema(self, schema_id: int) -> str:
            raise InfraError("away")

    with pytest.raises(InfraError, match="away"):
        Codec(NetworkSample, Away()).decode([confluent_prefix(1) + b"x"])


def test_every_historic_version_is_known_by_its_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    older = changed(region=None)
    monkeypatch.setattr("schemas.avro.reader.history_of", lambda topic: [older, SCHEMA])
    datum = {k: v for k, v in msgspec.to_builtins(SAMPLE).items() if k != "region"}
    found, rejected = Codec(NetworkSample).decode([written(datum, older)])
    assert not rejected
    assert found == [msgspec.structs.replace(SAMPLE, region="")]


def test_missing_numbers_are_null_in_avro() -> None:
    codec = avro_codec(COMPRESSION_KEYED)
    sent = {f.name: [f.default] for f in msgspec.structs.fields(COMPRESSION_KEYED.record)}
    sent |= {
        "event_id": ["e"], "timestamp": [1], "node_id": ["a"], "peer_id": ["b"], "link_type": ["dc"],
        "bandwidth_available_mbps": [1.0], "rtt_ms": [1.0], "payload_size": [1],
        "hde_latency_ms": np.array([math.nan]), "amst_stream_count": np.array([math.nan]),
    }  # fmt: skip
    (record,), rejected = codec.decode(codec.encode(sent))
    assert not rejected
    assert record.hde_latency_ms is None
    assert record.amst_stream_count is None


def test_raw_records_are_not_written() -> None:
    with pytest.raises(TypeError, match="what producers send"):
        Codec(RawNetworkSample, avro_prefix=b"x")
    assert schema_of(RawNetworkSample)["name"] == NETWORK_RAW.record.__name__


def test_json_needs_no_fastavro() -> None:
    code = (
        "import sys, streams.envelope, streams.wire, schemas.ingest; from schemas.codec import codec_of; "
        "from schemas.network import NetworkSample; codec_of(NetworkSample).decode([b'{}']); "
        "print([m for m in ('fastavro', 'avro', 'httpx', 'httpx2') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("topic", KEYED, ids=lambda t: t.kind)
@few
@given(data=st.data())
def test_column_checks_and_the_decoder_agree_on_what_is_in_range(topic: Topic, data: st.DataObject) -> None:
    """A range is stated once: columns must be judged as the decoder judges records."""
    codec = codec_of(topic.record)
    record = data.draw(records(topic.record))
    check = data.draw(st.sampled_from(checks_of(topic.record)))
    wild = {
        str: st.text(max_size=300),
        int: st.integers(-(1 << 53), 1 << 53),
        float: st.floats(allow_nan=False, allow_infinity=False),
    }
    changed_record = msgspec.structs.replace(record, **{check.field: data.draw(wild[check.kind])})
    problems: dict[int, Any] = {}
    check.apply(codec.columns([changed_record])[check.field], problems)
    _, rejected = codec.decode([msgspec.json.encode(changed_record)])
    assert bool(problems) == bool(rejected)


def test_the_keyed_sample_is_the_one_of_the_table() -> None:
    assert NETWORK_KEYED.record is NetworkSample
