"""Formats as the settings say: what one worker writes, every other reads."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from schemas import header
from schemas.avro.frame import single_object_prefix
from schemas.avro.schema import schema_of
from schemas.batch import Output
from schemas.binary import Binary
from schemas.drift import DriftAlert
from schemas.error import InfraError
from schemas.topic import DRIFT_ALERT, INPUTS, NETWORK_RAW, OUTPUTS
from streams.envelope import Envelope
from streams.settings import Settings
from streams.wire import Wire

ALERT = DriftAlert("raw/0/1:drift.alert", 1, "m", "f", "adwin", 0.5, 0.25, 9, "v1")


def wire(**environment: str) -> Wire:
    return Wire(Settings.from_environment(environment))


def encoded(wire: Wire) -> tuple[bytes, dict[str, bytes | None]]:
    codec = wire.codec(DRIFT_ALERT)
    columns = {n: c for n, c in codec.columns([ALERT]).items() if n != "id"}
    envelope = Envelope(DRIFT_ALERT, "a", codec)
    made = envelope.encode(Output(np.zeros(1, np.intp), columns), Binary.of([b"raw/0/1"]), Binary.of([None]))
    (value,), (headers,) = made.values, made.headers
    return value, dict(headers)


@pytest.mark.parametrize(
    ("environment", "start", "content_type"),
    [
        ({}, b"{", header.JSON),
        ({"DWCP_OUTPUT_FORMAT": "avro"}, single_object_prefix(schema_of(DriftAlert)), header.AVRO),
        (
            {"DWCP_OUTPUT_FORMAT": "avro-confluent", "DWCP_SCHEMA_REGISTRY_URL": "mock://w"},
            b"\x00\x00\x00\x00\x01",
            header.AVRO,
        ),
    ],
)
def test_outputs_are_in_the_format_that_is_set(environment: dict[str, str], start: bytes, content_type: bytes) -> None:
    own = wire(**environment)
    value, headers = encoded(own)
    assert value.startswith(start)
    assert headers[header.CONTENT_TYPE] == content_type
    assert own.codec(DRIFT_ALERT).decode([value, msgspec.json.encode(ALERT)]) == ([ALERT, ALERT], [])


def test_single_object_framing_is_read_without_any_setting() -> None:
    value, _ = encoded(wire(DWCP_OUTPUT_FORMAT="avro"))
    assert wire().codec(DRIFT_ALERT).decode([value]) == ([ALERT], [])


def test_raw_topics_are_read_in_every_format_and_never_written_as_avro() -> None:
    for topic in INPUTS:
        assert wire(DWCP_OUTPUT_FORMAT="avro").codec(topic).content_type == header.JSON


def test_schemas_are_registered_under_the_topic_s_name_before_the_start() -> None:
    own = wire(DWCP_OUTPUT_FORMAT="avro-confluent", DWCP_SCHEMA_REGISTRY_URL="mock://s", DWCP_TOPIC_DRIFT_ALERT="drift")
    own.open([NETWORK_RAW, *OUTPUTS])
    subjects = own._registry._client.get_subjects()  # type: ignore[union-attr]
    assert set(subjects) == {f"{t.name}-value" for t in OUTPUTS if t is not DRIFT_ALERT} | {"drift-value"}


def test_a_registry_that_is_away_stops_the_start() -> None:
    own = wire(DWCP_OUTPUT_FORMAT="avro-confluent", DWCP_SCHEMA_REGISTRY_URL="http://127.0.0.1:1")
    with pytest.raises(InfraError, match="cannot register"):
        own.open([DRIFT_ALERT])
