"""The compiled writer writes what msgspec writes, byte for byte."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct

from schemas.binary import Binary
from schemas.codec import codec_of
from schemas.json_writer import JsonWriter
from schemas.shortest import shortest


class Row(Struct):
    """A field of every kind."""

    number: float
    whole: int
    flag: bool
    text: str
    numbers: list[float]
    maybe: int | None
    nested: dict[str, list[int]] | None
    plain: str
    late: str = 'by de"fault'


class Tagged(Struct, tag=True):
    """A type that adds a field of its own."""

    number: float


_doubles = (
    st.floats()
    | st.floats(width=32)
    | st.integers(-(10**17), 10**17).map(float)
    | st.decimals(-1000, 1000, places=3).map(float)
)
_rows = st.lists(
    st.builds(
        Row,
        number=_doubles,
        whole=st.integers(-(2**63), 2**63 - 1),
        flag=st.booleans(),
        text=st.text(max_size=8),
        numbers=st.lists(_doubles, min_size=3, max_size=3),
        maybe=st.none() | st.integers(-(2**53), 2**53),
        nested=st.none() | st.dictionaries(st.text(max_size=3), st.lists(st.integers(0, 9), max_size=2), max_size=2),
        plain=st.text(max_size=8),
    ),
    min_size=1,
    max_size=12,
)  # fmt: skip


def columns_of(rows: list[Row]) -> dict[str, Any]:
    objects = np.empty(len(rows), object)
    objects[:] = [row.plain for row in rows]
    return {
        "number": np.array([row.number for row in rows]),
        "whole": np.array([row.whole for row in rows], np.int64),
        "flag": np.array([row.flag for row in rows]),
        "text": Binary.of([row.text.encode() for row in rows]),
        "numbers": np.array([row.numbers for row in rows]),
        "maybe": np.array([math.nan if row.maybe is None else row.maybe for row in rows]),
        "nested": [row.nested for row in rows],
        "plain": objects,
    }


@settings(deadline=None)
@given(_rows)
def test_rows_are_written_as_msgspec_writes_them(rows: list[Row]) -> None:
    written = codec_of(Row).write(columns_of(rows)).tolist()
    assert written == [msgspec.json.encode(row) for row in rows]


@settings(deadline=None)
@given(_rows)
def test_columns_that_are_views_and_of_other_types_are_written_alike(rows: list[Row]) -> None:
    columns = columns_of(rows)
    apart = {
        name: np.stack([column, column], 1)[:, 0] if isinstance(column, np.ndarray) and column.ndim == 1 else column
        for name, column in columns.items()
    }
    small = np.arange(len(rows))
    whole = [codec_of(Row).write(apart | {"whole": small.astype(kind)}).tolist() for kind in "bBhHiIlL"]
    assert all(one == whole[0] for one in whole)
    assert whole[0] == codec_of(Row).write(columns | {"whole": small.tolist()}).tolist()


@pytest.mark.parametrize(
    "value",
    [0.0, -0.0, 5e-324, -2.2250738585072014e-308, 1.7976931348623157e308, 1e15, 1e16, 123456789012345678.0, 1e-5, 1e-6]
    + [2.0**power for power in range(-1074, 1024, 13)] + [10.0**power for power in range(-323, 309, 7)],
)  # fmt: skip
def test_a_double_is_written_with_the_fewest_digits(value: float) -> None:
    for one in (value, -value, math.nextafter(value, math.inf)):
        (text,) = codec_of(Row).encode(columns_of([Row(one, 0, True, "", [one], None, None, "")]))
        assert text.startswith(b'{"number":%s,' % msgspec.json.encode(one))


@pytest.mark.parametrize("value", [math.nan, -math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_null(value: float) -> None:
    (text,) = codec_of(Row).encode(columns_of([Row(value, 0, True, "", [value], None, None, "")]))
    assert msgspec.json.decode(text)["number"] is None
    assert msgspec.json.decode(text)["numbers"] == [None]


@settings(deadline=None)
@given(st.floats(min_value=5e-324, allow_infinity=False))
def test_digits_are_those_of_repr(value: float) -> None:
    digits, exponent = shortest(np.float64(value).view(np.uint64))
    assert float(f"{digits}e{exponent}") == value
    mantissa = repr(value).partition("e")[0].replace(".", "").strip("0")
    assert str(digits).rstrip("0") == mantissa


@pytest.mark.parametrize("name", ["number", "whole", "text", "numbers", "nested", "plain"])
def test_columns_must_be_equally_long(name: str) -> None:
    columns = columns_of([Row(1.0, 2, True, "a", [1.0], None, None, "b")] * 3)
    short = columns[name].take(np.arange(2)) if isinstance(columns[name], Binary) else columns[name][:2]
    with pytest.raises(ValueError, match="rows"):
        codec_of(Row).write(columns | {name: short})


def test_whole_numbers_that_may_be_missing_are_exact_where_none_is() -> None:
    columns = columns_of([Row(1.0, 2, True, "a", [1.0], None, None, "b")])
    (text,) = codec_of(Row).encode(columns | {"maybe": np.array([2**60 + 1])})
    assert msgspec.json.decode(text)["maybe"] == 2**60 + 1


def test_a_field_without_a_default_must_be_there() -> None:
    with pytest.raises(KeyError, match="whole"):
        codec_of(Row).write({"number": np.zeros(2)})


def test_a_type_that_is_not_written_field_by_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Tagged"):
        JsonWriter(Tagged, set(), {})
