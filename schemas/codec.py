"""JSON bytes to columns and columns to JSON bytes.

Decoding isolates bad records: one that is not JSON, or not its record, becomes a
`Rejection` and the rest of the batch goes on. Records are decoded one by one with
a compiled decoder, because joining them into one document lets two broken records
complete each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from operator import attrgetter
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from schemas.batch import Columns, Rejection, object_column
from schemas.error import DecodeError, ValidationError

R = TypeVar("R", bound=Struct)

_encoder = msgspec.json.Encoder()


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
    """JSON codec of one record type."""

    def __init__(self, record: type[R]) -> None:
        hints = get_type_hints(record, include_extras=True)
        self.record = record
        self.fields: tuple[str, ...] = record.__struct_fields__
        self._columns = [(name, attrgetter(name), _dtype(hints[name])) for name in self.fields]
        self._optional_ints = {name for name in self.fields if _is_optional_int(hints[name])}
        self._decode = msgspec.json.Decoder(record).decode

    def decode(self, values: Sequence[bytes | None]) -> tuple[list[R], list[Rejection]]:
        """Decode values; rows that are not this record come back as rejections.

        Returns
        -------
        records
            The records that decoded, in order.
        rejected
            One per row that did not, with its row in `values`.
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
                records.append(self._decode(value))
            except msgspec.ValidationError as exc:
                rejected.append(Rejection(row, ValidationError("schema", str(exc))))
            except (msgspec.DecodeError, UnicodeDecodeError) as exc:
                rejected.append(Rejection(row, DecodeError("malformed", str(exc))))
            except RecursionError:
                rejected.append(Rejection(row, DecodeError("malformed", "nested too deeply")))
        return records, rejected

    def columns(self, records: Sequence[R]) -> Columns:
        """Columns of decoded records, one array of shape `[n]` per field."""
        table: Columns = {}
        for name, get, dtype in self._columns:
            values = [get(r) for r in records]
            table[name] = object_column(values) if dtype is np.object_ else np.array(values, dtype)
        return table

    def encode(self, columns: Mapping[str, Sequence[Any] | NDArray[Any]]) -> list[bytes]:
        """Encode columns as one JSON document per row.

        NaN in a nullable field, and only there, is written as null.

        Raises
        ------
        KeyError
            When a field of the record is missing from `columns`.
        """
        record = self.record
        lists = [_cells(columns[name], name in self._optional_ints) for name in self.fields]
        lines = _encoder.encode_lines([record(*row) for row in zip(*lists, strict=True)])
        return lines.split(b"\n")[:-1]


def _members(annotation: Any) -> list[Any]:
    """The types a value may have, without their annotations."""
    options = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return [get_args(a)[0] if get_origin(a) is Annotated else a for a in options]


def _is_optional_int(annotation: Any) -> bool:
    return set(_members(annotation)) == {int, NoneType}


def _cells(column: Sequence[Any] | NDArray[Any], optional_int: bool) -> Sequence[Any]:
    if not isinstance(column, np.ndarray):
        return column
    if optional_int:  # held as float64 so that NaN can stand for a missing value
        return [None if v != v else int(v) for v in column.tolist()]
    return column.tolist()  # type: ignore[no-any-return]


@cache
def codec_of(record: type[R]) -> Codec[R]:
    """The codec of a record type, built once."""
    return Codec(record)
