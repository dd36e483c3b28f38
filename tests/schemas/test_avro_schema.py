"""Each topic's schema says all that its record says, in Avro's words."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import avro.schema
import pytest
from msgspec import Meta, Struct

from schemas.avro.schema import canonical_record, schema_of, shape_of
from schemas.avro.version import DESCRIBED, check, derived
from schemas.compression import CompressionTelemetry
from schemas.field import DurationMs, LinkType, TimestampMs
from schemas.network import NetworkSample
from schemas.raw import RawCompressionTelemetry
from schemas.topic import INPUTS, TOPICS, Topic


class _Inner(Struct):
    """A part."""

    x: float


class _Whole(Struct):
    """All of it.

    A second paragraph.
    """

    at: TimestampMs
    took: DurationMs | None
    kind: LinkType
    other: LinkType
    mode: Literal["a", "b"]
    why: Literal["", "c"]
    parts: list[_Inner]
    by_name: dict[str, float]
    share: Annotated[float, Meta(gt=0, lt=2, extra_json_schema={"unit": "1"})] = 1.0
    text: str = "t"
    flag: bool | None = None
    count: int | None = 3


def field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    return next(f for f in schema["fields"] if f["name"] == name)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("at", {"type": "long", "unit": "ms since epoch", "maximum": 4_102_444_800_000}),
        ("took", {"type": ["null", "double"], "unit": "ms", "minimum": 0, "maximum": 3.6e6}),
        ("kind", {"type": {"type": "enum", "name": "LinkType", "symbols": ["dc", "metro", "wan", "edge"]}}),
        ("other", {"type": "LinkType", "unit": "none"}),
        ("mode", {"type": {"type": "enum", "name": "Mode", "symbols": ["a", "b"]}}),
        ("why", {"type": "string", "allowed": ["", "c"]}),
        ("by_name", {"type": {"type": "map", "values": "double"}}),
        ("share", {"type": "double", "default": 1.0, "exclusiveMinimum": 0, "exclusiveMaximum": 2, "unit": "1"}),
        ("text", {"type": "string", "default": "t", "unit": "none"}),
        ("flag", {"type": ["null", "boolean"], "default": None}),
        ("count", {"type": ["long", "null"], "default": 3}),
    ],
)
def test_a_field_s_annotation_becomes_avro(name: str, expected: dict[str, Any]) -> None:
    found = field(schema_of(_Whole), name)
    assert {key: found[key] for key in expected} == expected


def test_a_required_nullable_field_has_no_default() -> None:
    assert "default" not in field(schema_of(_Whole), "took")


def test_records_are_nested_and_documented() -> None:
    schema = schema_of(_Whole)
    assert (schema["name"], schema["namespace"], schema["doc"]) == ("_Whole", "dwcp", "All of it.")
    items = field(schema, "parts")["type"]["items"]
    assert (items["name"], items["doc"]) == ("_Inner", "A part.")
    avro.schema.parse(json.dumps(schema))


@pytest.mark.parametrize("annotation", [int | str, dict[int, float], bytes, tuple[int, int], complex])
def test_what_avro_has_no_type_for_is_named(annotation: Any) -> None:
    record = type("Odd", (Struct,), {"__annotations__": {"odd": annotation}})
    with pytest.raises(TypeError, match=r"Odd\.odd.*no Avro type"):
        schema_of(record)


def test_two_types_of_one_name_are_refused() -> None:
    class Clash(Struct):
        link_type: Literal["x", "y"]
        link__type: Literal["z", "w"]

    with pytest.raises(TypeError, match="two types called LinkType"):
        schema_of(Clash)


@pytest.mark.parametrize("topic", DESCRIBED, ids=lambda t: t.kind)
def test_avro_reads_it_and_every_field_has_doc_and_unit(topic: Topic) -> None:
    schema = derived(topic)
    parsed = avro.schema.parse(json.dumps(schema))
    assert isinstance(parsed, avro.schema.RecordSchema)
    assert all(f.doc and f.other_props["unit"] for f in parsed.fields)
    assert [f.name for f in parsed.fields] == [n for n in canonical_record(topic.record).__struct_fields__
                                               if n in topic.record.__struct_fields__]  # fmt: skip


@pytest.mark.parametrize("topic", DESCRIBED, ids=lambda t: t.kind)
def test_what_is_committed_is_what_the_record_says(topic: Topic) -> None:
    assert check(topic, derived(topic)) == []


def test_every_topic_with_a_record_is_described() -> None:
    assert {t for t in TOPICS if t.record} == set(DESCRIBED)


@pytest.mark.parametrize("topic", INPUTS, ids=lambda t: t.kind)
def test_producers_of_avro_send_canonical_fields_only(topic: Topic) -> None:
    keyed = canonical_record(topic.record)
    assert keyed is not topic.record
    sent, canonical = schema_of(topic.record), schema_of(keyed)
    for item in sent["fields"]:
        assert item == field(canonical, item["name"])


def test_producers_do_not_send_what_ingest_computes() -> None:
    names = {f["name"] for f in schema_of(RawCompressionTelemetry)["fields"]}
    assert set(CompressionTelemetry.__struct_fields__) - names == {"quality_score", "is_training_candidate"}


def test_shape_is_all_that_readers_resolve_against() -> None:
    shape = shape_of(schema_of(NetworkSample))
    assert set(shape) == {"type", "name", "namespace", "fields"}
    assert {key for f in shape["fields"] for key in f} == {"name", "type", "default"}
    assert field(shape, "timestamp")["type"] == "long"
    assert field(shape, "region")["default"] == ""
