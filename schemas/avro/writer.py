"""Records, as columns, to framed Avro bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from typing import Any

import fastavro
import msgspec
from msgspec import Struct

from schemas.avro.reader import parsed
from schemas.avro.schema import schema_of


class AvroWriter:
    """Writes records of one type.

    Parameters
    ----------
    record
        The type; its schema is the writer's.
    prefix
        What goes before each value: the frame that names the schema.

    Raises
    ------
    TypeError
        For a raw record: those are read only, and their schema is not all of them.
    """

    def __init__(self, record: type[Struct], prefix: bytes) -> None:
        schema = schema_of(record)
        self._names = [field["name"] for field in schema["fields"]]
        if tuple(self._names) != record.__struct_fields__:
            raise TypeError(f"{record.__name__} is what producers send; it is not written here as Avro")
        self._schema = parsed(schema)
        self._prefix = prefix
        self._prepare = [_preparation(field["type"]) for field in schema["fields"]]

    def write(self, cells: Iterable[Sequence[Any]]) -> list[bytes]:
        """One framed value per row of `cells`, lists of equal length, one per field of the record."""
        ready = [prepare(c) if prepare else c for prepare, c in zip(self._prepare, cells, strict=True)]
        schema, prefix, names = self._schema, self._prefix, self._names
        values = []
        for row in zip(*ready, strict=True):
            stream = BytesIO()
            stream.write(prefix)
            fastavro.schemaless_writer(stream, schema, dict(zip(names, row, strict=True)))
            values.append(stream.getvalue())
        return values


def _preparation(kind: Any) -> Callable[[Sequence[Any]], list[Any]] | None:
    """What a column needs before fastavro takes it; None when nothing."""
    if isinstance(kind, list) and "double" in kind:
        return _missing_as_null
    if isinstance(kind, dict) and not isinstance(kind.get("items", kind.get("values", "")), str):
        return _structs_as_dicts
    return None


def _missing_as_null(column: Sequence[Any]) -> list[Any]:
    return [None if value != value else value for value in column]


def _structs_as_dicts(column: Sequence[Any]) -> list[Any]:
    return [msgspec.to_builtins(value) for value in column]
