"""Bytes to columns and columns to bytes.

Decoding isolates bad records: one that is not its record becomes a `Rejection` and the
rest of the batch goes on. Records are decoded one by one with a compiled decoder,
because joining them into one document lets two broken records complete each other.

JSON and Avro in either framing (`schemas.avro.frame`) are told apart by a value's first
bytes, record by record. A batch is taken to be JSON until a record is not; fastavro is
imported when the first Avro record comes, or when Avro is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import astuple
from numpy.typing import NDArray

from schemas.avro.frame import CONFLUENT, SINGLE_OBJECT
from schemas.batch import Columns, Rejection, object_column
from schemas.binary import Binary
from schemas.error import DecodeError, RecordError, ValidationError
from schemas.header import AVRO, JSON

if TYPE_CHECKING:
    from schemas.avro.reader import AvroReader, SchemaSource
    from schemas.avro.writer import AvroWriter
    from schemas.json_reader import JsonReader
    from schemas.json_writer import JsonWriter

R = TypeVar("R", bound=Struct)

_AVRO_FIRST_BYTES: Final = (CONFLUENT, SINGLE_OBJECT[0])
"""No JSON text begins with either, so what does is Avro or broken."""


Column = Sequence[Any] | NDArray[Any] | Binary
"""Cells of a field."""


def _dtype(annotation: Any) -> type:
    """Numpy type of a field: float64 where a number may be missing, object for text."""
    members = set(_members(annotation))
    if members <= {float, int, NoneType} and len(members) > 1:
        return np.float64
    return (
        {float: np.float64, int: np.int64, bool: np.bool_}.get(members.pop(), np.object_)
        if len(members) == 1
        else np.object_
    )


class Codec(Generic[R]):
    """The codec of one record type: reads every format, writes one.

    Parameters
    ----------
    record
        The type.
    source
        Schemas of Avro writers by registry id; without one such records are rejected.
    avro_prefix
        Write Avro behind this frame; None writes JSON.
    """

    def __init__(self, record: type[R], source: SchemaSource | None = None, avro_prefix: bytes | None = None) -> None:
        hints = get_type_hints(record, include_extras=True)
        self.record = record
        self.fields: tuple[str, ...] = record.__struct_fields__
        self._dtypes = [(name, _dtype(hints[name])) for name in self.fields]
        self._floats = [at for at, (_, dtype) in enumerate(self._dtypes) if dtype is np.float64]
        self._optional_ints = {name for name in self.fields if _is_optional_int(hints[name])}
        self._defaults = _defaults(record)
        self._decode = msgspec.json.Decoder(record).decode
        self._source = source
        self._reader: AvroReader[R] | None = None
        self._json_writer: JsonWriter | None = None
        self._writer = None if avro_prefix is None else _avro_writer(record, avro_prefix)
        self.content_type: bytes = JSON if self._writer is None else AVRO
        """Of what `encode` returns."""

    def read(self, values: Sequence[bytes | None]) -> tuple[Columns, list[Rejection]]:
        """Columns of the values that are this record, and the other ones.

        As `decode` and `columns`, of which it takes what a compiled scan does not read: Avro, and JSON that is
        not plain or not valid.

        Returns
        -------
        columns
            One array per field, with a row per value that was not rejected.
        rejected
            One per value that is not this record, with its row in `values`.

        Raises
        ------
        InfraError
            When an Avro record's schema is in a registry that does not answer.
        """
        if self.json_reader is None:
            records, rejected = self.decode(values)
            return self.columns(records), rejected
        there: Sequence[bytes] = [v or b"" for v in values] if None in values else values  # type: ignore[assignment]
        columns, left = self.json_reader.read(there)
        if not len(left):
            return columns, []
        records, found = self.decode([values[row] for row in left.tolist()])
        rejected = [Rejection(int(left[r.row]), r.error) for r in found]
        rest = self.columns(records)
        if len(left) == len(values):
            return rest, rejected
        read = np.delete(left, [r.row for r in found])
        for name, column in rest.items():
            columns[name][read] = column
        if rejected:
            kept = np.delete(np.arange(len(values)), [r.row for r in rejected])
            columns = {name: column[kept] for name, column in columns.items()}
        return columns, rejected

    @cached_property
    def json_reader(self) -> JsonReader | None:
        """What reads plain JSON; None where only msgspec can. Made when first asked for: numba takes long to import."""
        from schemas.json_reader import JsonReader

        return JsonReader.of(self.record)

    def decode(self, values: Sequence[bytes | None]) -> tuple[list[R], list[Rejection]]:
        """Decode values; rows that are not this record come back as rejections.

        Returns
        -------
        records
            The records that decoded, in order.
        rejected
            One per row that did not, with its row in `values`.

        Raises
        ------
        InfraError
            When an Avro record's schema is in a registry that does not answer.
        """
        decode = self._decode
        try:
            return [decode(v) for v in values], []  # type: ignore[arg-type]
        except (msgspec.DecodeError, UnicodeDecodeError, TypeError, RecursionError):
            return self._decode_each(values)

    def _decode_each(self, values: Sequence[bytes | None]) -> tuple[list[R], list[Rejection]]:
        records: list[R] = []
        rejected: list[Rejection] = []
        for row, value in enumerate(values):
            if not value:
                rejected.append(Rejection(row, DecodeError("empty", "the value is empty")))
                continue
            try:
                records.append(self._read_avro(value) if value[0] in _AVRO_FIRST_BYTES else self._decode(value))
            except RecordError as exc:
                rejected.append(Rejection(row, exc))
            except msgspec.ValidationError as exc:
                rejected.append(Rejection(row, ValidationError("schema", str(exc))))
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                rejected.append(Rejection(row, DecodeError("malformed", str(exc))))
            except RecursionError:
                rejected.append(Rejection(row, DecodeError("malformed", "nested too deeply")))
        return records, rejected

    def _read_avro(self, value: bytes) -> R:
        if value[0] != CONFLUENT and not value.startswith(SINGLE_OBJECT):
            raise DecodeError("malformed", "neither JSON nor framed Avro")
        if self._reader is None:
            from schemas.avro.reader import AvroReader

            self._reader = AvroReader(self.record, self._source)
        return self._reader.read(value)

    def columns(self, records: Sequence[R]) -> Columns:
        """Columns of decoded records, one array of shape `[n]` per field."""
        cells = list(zip(*map(astuple, records), strict=True)) or [()] * len(self._dtypes)
        # Numpy takes long to turn None into NaN, and most fields that may be missing are missing everywhere.
        nothing = (None,) * len(records)
        there = [at for at in self._floats if cells[at] != nothing]
        floats = dict(zip(there, np.array([cells[at] for at in there], np.float64), strict=True))
        missing = iter(np.full((len(self._floats) - len(there), len(records)), np.nan))
        return {
            name: floats[at] if at in floats
            else next(missing) if dtype is np.float64
            else object_column(cells[at]) if dtype is np.object_
            else np.array(cells[at], dtype)
            for at, (name, dtype) in enumerate(self._dtypes)
        }  # fmt: skip

    def encode(self, columns: Mapping[str, Column]) -> list[bytes]:
        """As `write`, a byte string per row."""
        return self.write(columns).tolist()  # type: ignore[return-value]

    def write(self, columns: Mapping[str, Column]) -> Binary:
        """Encode columns as one value per row: a JSON document or a framed Avro datum.

        Columns are arrays, lists of objects, or text as `Binary`. NaN in a nullable field, and only there,
        is written as null. Fields that have a default may be left out.

        Raises
        ------
        KeyError
            When any other field of the record is missing from `columns`.
        """
        if not len(next(iter(columns.values()), ())):
            return Binary.of([])
        if self._writer is not None:
            return Binary.of(self._writer.write(self._lists(columns)))
        if self._json_writer is None:
            from schemas.json_writer import JsonWriter

            self._json_writer = JsonWriter(self.record, self._optional_ints, self._defaults)
        return self._json_writer.write(columns)

    def _lists(self, columns: Mapping[str, Column]) -> list[Sequence[Any]]:
        """Python's objects of every field."""
        n = len(next(iter(columns.values())))
        full: dict[str, Any] = {name: [value] * n for name, value in self._defaults.items()} | dict(columns)
        return [_cells(full[name], name in self._optional_ints) for name in self.fields]


def _defaults(record: type[Struct]) -> dict[str, Any]:
    """Values of the fields that may be left out."""
    found = {}
    for field in msgspec.structs.fields(record):
        if field.default is not msgspec.NODEFAULT:
            found[field.name] = field.default
        elif field.default_factory is not msgspec.NODEFAULT:
            found[field.name] = field.default_factory()
    return found


def _members(annotation: Any) -> list[Any]:
    """The types a value may have, without their annotations."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [get_args(a)[0] if get_origin(a) is Annotated else a for a in options]


def _is_optional_int(annotation: Any) -> bool:
    return set(_members(annotation)) == {int, NoneType}


def _cells(column: Column, optional_int: bool) -> Sequence[Any]:
    if isinstance(column, Binary):
        return column.text()
    if not isinstance(column, np.ndarray):
        return column
    if optional_int:  # held as float64 so that NaN can stand for a missing value
        return [None if v != v else int(v) for v in column.tolist()]
    return column.tolist()  # type: ignore[no-any-return]


def _avro_writer(record: type[Struct], prefix: bytes) -> AvroWriter:
    from schemas.avro.writer import AvroWriter

    return AvroWriter(record, prefix)


@cache
def codec_of(record: type[R]) -> Codec[R]:
    """The codec of a record type that writes JSON and knows no registry, built once."""
    return Codec(record)
