"""Record types as Arrow schemas: each field's type, unit, range and meaning, read off its Avro schema."""

from __future__ import annotations

from typing import Any, Final

import pyarrow as pa

from schemas.avro.schema import schema_of
from schemas.topic import Topic

ORIGIN: Final = "origin"
"""The column that joins a record with what was made of it."""

_PLAIN: Final = {
    "boolean": pa.bool_(), "long": pa.int64(), "double": pa.float64(), "string": pa.string(),
}  # fmt: skip
_EPOCH_MS: Final = "ms since epoch"
_KEPT: Final = ("unit", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "allowed")


def arrow_schema(topic: Topic) -> pa.Schema:
    """The Arrow schema of a topic's records.

    Every field carries its description, unit and range as metadata; times are
    timestamps in UTC, what may be missing is nullable. The last column, `origin`, is
    the raw record that the row derives from.

    Raises
    ------
    TypeError
        When the topic has no record type.
    """
    if topic.record is None:
        raise TypeError(f"{topic.kind} carries records as they were received: there is no type to make columns of")
    avro = schema_of(topic.record)
    fields = [_field(field) for field in avro["fields"]]
    about = {"description": "topic/partition/offset of the raw record it derives from", "unit": "none"}
    fields.append(pa.field(ORIGIN, pa.string(), False, about))
    return pa.schema(fields, {"topic": topic.name, "record": topic.record.__name__, "description": avro["doc"]})


def _field(field: dict[str, Any]) -> pa.Field:
    kind, nullable = _optional(field["type"])
    metadata = {"description": field["doc"]} | {name: str(field[name]) for name in _KEPT if name in field}
    arrow = pa.timestamp("ms", "UTC") if field["unit"] == _EPOCH_MS else arrow_type(kind)
    return pa.field(field["name"], arrow, nullable, metadata)


def _optional(kind: Any) -> tuple[Any, bool]:
    if not isinstance(kind, list):
        return kind, False
    return next(branch for branch in kind if branch != "null"), True


def arrow_type(kind: Any) -> pa.DataType:
    """The Arrow type of an Avro type."""
    if isinstance(kind, str):
        # A name is that of an enumeration defined further up.
        return _PLAIN.get(kind, pa.string())
    if kind["type"] == "array":
        return pa.list_(arrow_type(kind["items"]))
    if kind["type"] == "map":
        return pa.map_(pa.string(), arrow_type(kind["values"]))
    if kind["type"] == "record":
        return pa.struct([_field(field) for field in kind["fields"]])
    return _PLAIN.get(kind["type"], pa.string())
