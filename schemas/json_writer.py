"""Columns to JSON, a document per row, in one compiled pass.

A Python object per number and a struct per record cost more than the step that made them. Numbers and booleans
are written from the columns; text, and what is nested, is written by msgspec, in one call, and copied.
What comes out is what msgspec writes, byte for byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from msgspec import Struct
from numba import njit
from numpy.typing import NDArray

from schemas.binary import Binary
from schemas.json_value import SLACK, write_bool, write_float, write_floats, write_int, write_text
from schemas.memory import address_of, copy, float_at, int_at, put_byte, put_word, word_at

_encoder = msgspec.json.Encoder()

_FLOAT, _INT, _BOOL, _OPTIONAL_INT, _JSON, _TEXT, _FLOATS, _CONSTANT = range(8)
"""Kinds of fields; a matrix's tells its width, too. A constant is part of the field's name."""

_NUMBERS, _WHOLE, _OBJECTS, _OTHERS = range(4)
"""Where values lie: floats side by side, integers side by side, what msgspec wrote; then columns of their own."""

_SOURCE_OF: Final = {_FLOAT: _NUMBERS, _OPTIONAL_INT: _NUMBERS, _INT: _WHOLE, _BOOL: _WHOLE, _JSON: _OBJECTS}
_KIND_OF: Final[Mapping[str, int]] = dict.fromkeys("df", _FLOAT) | dict.fromkeys("lqihbIHB", _INT) | {"?": _BOOL}
"""By numpy's letter for the type of a column."""

_KIND, _SOURCE, _PLACE, _WIDTH, _NAME, _NAME_BYTES = range(6)
"""What is known of a field: `_PLACE` is which of its source's columns it is, `_WIDTH` that of a matrix."""

_NUMBER_BYTES: Final = 27
_WORD: Final = 8
_INT_LIMIT: Final = 2.0**63


class _Plan(NamedTuple):
    """How rows whose columns are of these kinds are written.

    Parameters
    ----------
    cells
        int64 `[fields, 6]`.
    names
        Held: `cells` has their addresses.
    row_bytes
        Of a row at most, but for text.
    """

    cells: NDArray[np.int64]
    names: Binary
    row_bytes: int


class _Given:
    """Columns as they are given, by where the kernel will find them."""

    def __init__(self) -> None:
        self.kinds: list[int] = []
        self.floats: list[NDArray[Any]] = []
        self.ints: list[NDArray[Any]] = []
        self.objects: list[Any] = []
        self.others: list[tuple[int, int, int]] = []
        self.text_bytes = 0
        self._held: list[Any] = []

    def take(self, column: Sequence[Any] | NDArray[Any] | Binary | None, is_optional_int: bool) -> None:
        """The next field's column; None is its default."""
        if isinstance(column, np.ndarray):
            self._take_array(column, is_optional_int)
        elif isinstance(column, Binary):
            self.kinds.append(_TEXT)
            self.others.append(_texts(column))
            self.text_bytes += 6 * len(column.data)  # a byte may become \u00xx
        elif column is None:
            self.kinds.append(_CONSTANT)
        else:
            self.kinds.append(_JSON)
            self.objects += column

    def _take_array(self, column: NDArray[Any], is_optional_int: bool) -> None:
        kind = _KIND_OF.get(column.dtype.char, _JSON)
        if column.ndim == 2 and kind == _FLOAT:
            matrix = np.ascontiguousarray(column, np.float64)
            self._held.append(matrix)
            self.kinds.append(_FLOATS + matrix.shape[1] * _CONSTANT)
            self.others.append((address_of(matrix), 0, 0))
        elif column.ndim > 1 or kind == _JSON:
            self.kinds.append(_JSON)
            self.objects += column.tolist()
        elif kind == _FLOAT:
            self.kinds.append(_OPTIONAL_INT if is_optional_int else _FLOAT)
            self.floats.append(column)
        else:
            self.kinds.append(_INT if is_optional_int else kind)
            self.ints.append(column)


class JsonWriter:
    """Writes records of one type.

    Parameters
    ----------
    record
        The type.
    optional_ints
        Fields of whole numbers that may be missing, whose columns hold floats and NaN.
    defaults
        What is written where a column is left out.

    Raises
    ------
    TypeError
        When the type leaves out fields or adds a tag.
    """

    def __init__(self, record: type[Struct], optional_ints: Set[str], defaults: Mapping[str, Any]) -> None:
        config = record.__struct_config__
        if config.omit_defaults or config.tag is not None:
            raise TypeError(f"{record.__name__} is not written field by field")
        self._fields = record.__struct_fields__
        self._names = record.__struct_encode_fields__
        self._optional_ints = optional_ints
        self._defaults = defaults
        self._plans: dict[tuple[int, ...], _Plan] = {}

    def write(self, columns: Mapping[str, Sequence[Any] | NDArray[Any] | Binary]) -> Binary:
        """One document per row.

        Parameters
        ----------
        columns
            Fields: an array `[n]`, a float array `[n, w]`, `n` objects, or text as `Binary`. Of an array
            of objects or a list, objects are what msgspec can write.

        Raises
        ------
        KeyError
            When a field without a default is missing.
        ValueError
            When columns are not equally long: the kernel reads memory where it is told that rows lie.
        """
        n = len(next(iter(columns.values())))
        given = _Given()
        for name in self._fields:
            column = columns.get(name)
            if column is not None and len(column) != n:
                raise ValueError(f"column {name!r} has {len(column)} rows, others have {n}")
            given.take(column, name in self._optional_ints)
        plan = self._plan(tuple(given.kinds))
        numbers, whole = _side_by_side(given.floats, np.float64), _side_by_side(given.ints, np.int64)
        text = Binary.lines(_encoder.encode_lines(given.objects))
        shared = [(address_of(numbers), 0, 0), (address_of(whole), 0, 0), _texts(text)]
        out = np.empty(n * plan.row_bytes + given.text_bytes + len(text.data) + SLACK, np.uint8)
        end = np.empty(n + 1, np.int64)
        _write(address_of(out), end, plan.cells, np.array(shared + given.others))
        return Binary(out[: end[n]].tobytes(), end[:-1], end[1:] - end[:-1])

    def _plan(self, kinds: tuple[int, ...]) -> _Plan:
        if kinds not in self._plans:
            self._plans[kinds] = self._made(kinds)
        return self._plans[kinds]

    def _made(self, kinds: Sequence[int]) -> _Plan:
        cells = np.zeros((len(kinds), 6), np.int64)
        names: list[bytes] = []
        used = [0] * _OTHERS
        others = _OTHERS
        for cell, kind, field, name in zip(cells, kinds, self._fields, self._names, strict=True):
            label = (b"," if names else b"{") + _encoder.encode(name) + b":"
            names.append(label + _encoder.encode(self._defaults[field]) if kind == _CONSTANT else label)
            cell[_KIND] = kind if kind <= _CONSTANT else _FLOATS
            cell[_WIDTH] = kind // _CONSTANT if kind > _CONSTANT else 1
            source = _SOURCE_OF.get(kind)
            if source is not None:
                cell[_SOURCE], cell[_PLACE] = source, used[source]
                used[source] += 1
            elif kind != _CONSTANT:
                cell[_SOURCE] = others
                others += 1
        held = Binary.of([*names, bytes(_WORD)])  # copied by words
        cells[:, _NAME], cells[:, _NAME_BYTES] = held.address[:-1], held.size[:-1]
        return _Plan(cells, held, int(held.size.sum() + (cells[:, _WIDTH] * _NUMBER_BYTES + 2).sum()) + 1)


def warm() -> None:
    """Compile what writes."""
    _write(0, np.zeros(1, np.int64), np.zeros((0, 6), np.int64), np.zeros((0, 3), np.int64))


def _side_by_side(columns: list[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate(columns, dtype=dtype, casting="unsafe") if columns else np.empty(0, dtype)


def _texts(column: Binary) -> tuple[int, int, int]:
    """Where texts begin, counted from the third of these addresses, and their sizes."""
    return address_of(column.at), address_of(column.size), column.base


@njit(cache=True, nogil=True)
def _write(out: int, end: NDArray[np.int64], cells: NDArray[np.int64], sources: NDArray[np.int64]) -> None:
    """Write every row; `end` says where each begins and the last ends."""
    n = len(end) - 1
    at = out
    for row in range(n):
        end[row] = at - out
        for field in range(len(cells)):
            name, size = cells[field, _NAME], cells[field, _NAME_BYTES]
            for i in range(0, size, _WORD):
                put_word(at + i, word_at(name + i))
            at += size
            kind, width = cells[field, _KIND], cells[field, _WIDTH]
            offset = 8 * (cells[field, _PLACE] * n + row * width)
            source = cells[field, _SOURCE]
            place = sources[source, 0] + offset
            if kind == _FLOAT:
                at = write_float(at, float_at(place))
            elif kind == _INT:
                at = write_int(at, int_at(place, 0))
            elif kind == _JSON:
                size = int_at(sources[source, 1] + offset, 0)
                copy(at, sources[source, 2] + int_at(place, 0), size)
                at += size
            elif kind == _FLOATS:
                at = write_floats(at, place, width)
            elif kind == _TEXT:
                size = int_at(sources[source, 1] + offset, 0)
                at = write_text(at, sources[source, 2] + int_at(place, 0), size)
            elif kind == _BOOL:
                at = write_bool(at, int_at(place, 0) != 0)
            elif kind == _OPTIONAL_INT:
                value = float_at(place)
                at = write_int(at, np.int64(value)) if -_INT_LIMIT < value < _INT_LIMIT else write_float(at, value)
        put_byte(at, ord("}"))
        at += 1
    end[-1] = at - out
