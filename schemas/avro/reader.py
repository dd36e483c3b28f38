"""Framed Avro bytes to records.

The writer's schema is named by the frame: a version of ours by its fingerprint, or an
id that a registry knows. It is resolved against the schema of the record, so that
writers may lag behind or run ahead; then the record type enforces its ranges, as for
JSON.
"""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeVar

import fastavro
import msgspec
from fastavro.read import SchemaResolutionError
from fastavro.schema import SchemaParseException, UnknownType, to_parsing_canonical_form
from msgspec import Struct

from schemas.avro.frame import CONFLUENT, CONFLUENT_BYTES, SINGLE_OBJECT, SINGLE_OBJECT_BYTES, fingerprint_of
from schemas.avro.schema import schema_of
from schemas.avro.version import DESCRIBED, history_of
from schemas.error import DecodeError, ValidationError

R = TypeVar("R", bound=Struct)

# What fastavro raises for bytes that are not of the writer's schema.
_BROKEN: Final = (EOFError, IndexError, ValueError, OverflowError, TypeError, KeyError, RecursionError, MemoryError)


class SchemaSource(Protocol):
    """Where the writers' schemas of Confluent framing come from; see `streams.registry`."""

    def writer_schema(self, schema_id: int) -> str:
        """The schema of an id, as JSON text.

        Raises
        ------
        DecodeError
            With the reason `unknown_schema`, when there is no such schema.
        InfraError
            When the registry does not answer.
        """
        ...


class _Writer(NamedTuple):
    """A writer's schema, and the reader's to resolve against; None where both are the same."""

    schema: Any
    reader: Any


class AvroReader(Generic[R]):
    """Reads records of one type.

    Parameters
    ----------
    record
        What the bytes become.
    source
        Of the writers' schemas in Confluent framing; without one they are unknown.
    """

    def __init__(self, record: type[R], source: SchemaSource | None = None) -> None:
        self._record = record
        self._source = source
        self._schema = parsed(schema_of(record))
        self._canonical = to_parsing_canonical_form(self._schema)
        self._by_id: dict[bytes, _Writer] = {}
        versions = [version for topic in DESCRIBED if topic.record is record for version in history_of(topic)]
        self._by_fingerprint = {fingerprint_of(version): self._writer(version) for version in versions}
        self._by_fingerprint[fingerprint_of(schema_of(record))] = _Writer(self._schema, None)

    def read(self, value: bytes) -> R:
        """One record from framed bytes.

        Raises
        ------
        DecodeError
            `unknown_schema`, or `malformed` for bytes that are not of their schema.
        ValidationError
            `schema`: a value outside the record's contract, or a schema that cannot be read as ours.
        InfraError
            When the registry is needed and does not answer.
        """
        writer, stream = self._open(value)
        try:
            datum = fastavro.schemaless_reader(stream, writer.schema, writer.reader)
        except SchemaResolutionError as exc:
            raise ValidationError("schema", f"the writer's schema cannot be read as ours: {exc}") from None
        except _BROKEN as exc:
            raise DecodeError("malformed", f"not Avro of its schema: {type(exc).__name__}: {exc}") from None
        if stream.read(1):
            raise DecodeError("malformed", "not Avro of its schema: bytes are left over")
        try:
            return msgspec.convert(datum, self._record)
        except msgspec.ValidationError as exc:
            raise ValidationError("schema", str(exc)) from None

    def _open(self, value: bytes) -> tuple[_Writer, BytesIO]:
        """The writer's schema, and the bytes behind the frame."""
        stream = BytesIO(value)
        if value[0] == CONFLUENT:
            head = stream.read(CONFLUENT_BYTES)
            if len(head) < CONFLUENT_BYTES:
                raise DecodeError("malformed", "ends within the Confluent frame")
            return self._by_id.get(head) or self._look_up(head), stream
        head = stream.read(SINGLE_OBJECT_BYTES)
        if len(head) < SINGLE_OBJECT_BYTES:
            raise DecodeError("malformed", "ends within the single-object frame")
        fingerprint = head[len(SINGLE_OBJECT) :]
        writer = self._by_fingerprint.get(fingerprint)
        if writer is None:
            message = f"no version of {self._record.__name__} has the fingerprint {fingerprint.hex()}"
            raise DecodeError("unknown_schema", f"{message}; `dwcp schemas list` shows those there are")
        return writer, stream

    def _look_up(self, head: bytes) -> _Writer:
        schema_id = int.from_bytes(head[1:], "big")
        if self._source is None:
            message = f"schema {schema_id} is in a registry, and DWCP_SCHEMA_REGISTRY_URL is not set"
            raise DecodeError("unknown_schema", message)
        text = self._source.writer_schema(schema_id)
        try:
            writer = self._writer(json.loads(text))
        except (SchemaParseException, UnknownType, ValueError, KeyError, TypeError, RecursionError) as exc:
            raise DecodeError("unknown_schema", f"schema {schema_id} is not an Avro schema: {exc}") from None
        self._by_id[head] = writer
        return writer

    def _writer(self, schema: Any) -> _Writer:
        own = parsed(schema)
        # Resolving takes twice the time, so it is left out where there is nothing to resolve.
        return _Writer(own, None if to_parsing_canonical_form(own) == self._canonical else self._schema)


def parsed(schema: Any) -> Any:
    """A schema as fastavro takes it, without logical types: times stay integers.

    Raises
    ------
    SchemaParseException, UnknownType
        When it is not an Avro schema.
    """
    return fastavro.parse_schema(_plain(schema))


def _plain(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_plain(branch) for branch in schema]
    if isinstance(schema, dict):
        return {
            name: value if name == "default" else _plain(value)
            for name, value in schema.items()
            if name != "logicalType"
        }
    return schema
