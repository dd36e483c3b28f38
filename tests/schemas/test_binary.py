"""Columns of byte strings are the strings they were made of, and point at their bytes."""

from __future__ import annotations

from ctypes import string_at

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.binary import Binary

STRINGS = st.lists(st.none() | st.binary(max_size=20), max_size=20)


@given(STRINGS)
def test_strings_come_back(values: list[bytes | None]) -> None:
    assert Binary.of(values).tolist() == values


@given(st.lists(st.text(max_size=9)))
def test_text_is_decoded(values: list[str]) -> None:
    assert Binary.of([one.encode() for one in values]).text() == values


@given(STRINGS)
def test_addresses_point_at_the_bytes_and_none_at_nothing(values: list[bytes | None]) -> None:
    column = Binary.of(values)
    places = zip(column.address.tolist(), column.size.tolist(), strict=True)
    assert [string_at(at, size) if at else None for at, size in places] == values


@given(STRINGS.filter(bool), st.data())
def test_rows_can_be_taken_in_any_order(values: list[bytes | None], data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.integers(0, len(values) - 1)))
    assert Binary.of(values).take(np.array(rows, np.intp)).tolist() == [values[r] for r in rows]


@pytest.mark.parametrize("lines", [[], [b""], [b"a"], [b"one", b"", b"three"]])
def test_lines_are_split_at_their_ends(lines: list[bytes]) -> None:
    assert Binary.lines(b"".join(line + b"\n" for line in lines)).tolist() == lines
