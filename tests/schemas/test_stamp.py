"""Ids tell records of one input apart, and times are dates, whatever they are."""

from __future__ import annotations

from ctypes import string_at

import numpy as np
import pytest

from schemas.binary import Binary
from schemas.stamp import Stamped, stamp

ORIGINS = [b"raw/0/0", b"", b"two\nlines", "raw/\N{SNOWMAN}/3".encode()]


def stamped(rows: list[int], time_ms: np.ndarray | None = None, suffix: list[bytes] | None = None) -> Stamped:
    times = np.zeros(len(rows), np.int64) if time_ms is None else time_ms
    ends = None if suffix is None else Binary.of(suffix)
    return stamp(np.full((4, 3), 7, np.int64), Binary.of(ORIGINS), np.array(rows, np.intp), b"drift.alert", times, ends)


def values(made: Stamped, header: int) -> list[bytes]:
    return [string_at(at, size) for at, size in made.cells[:, header, 1:].tolist()]


@pytest.mark.parametrize(
    ("rows", "numbers"),
    [
        ([], []), ([0, 1, 3], ["", "", ""]), ([0, 0, 0, 2, 2], ["", ":1", ":2", "", ":1"]), ([3, 3], ["", ":1"]),
        ([1] * 12, ["", *[f":{k}" for k in range(1, 12)]]),
    ],
)  # fmt: skip
def test_ids_number_the_further_records_of_a_row(rows: list[int], numbers: list[str]) -> None:
    made = stamped(rows)
    ids = [ORIGINS[row] + b":drift.alert" + number.encode() for row, number in zip(rows, numbers, strict=True)]
    assert made.ids.tolist() == values(made, 1) == ids
    assert values(made, 0) == [ORIGINS[row] for row in rows]


def test_a_suffix_stands_instead_of_a_number() -> None:
    made = stamped([0, 0, 3], suffix=[b"pba", b"", "\N{SNOWMAN}".encode()])
    ids = [b"raw/0/0:drift.alert.pba", b"raw/0/0:drift.alert.", ORIGINS[3] + b":drift.alert.\xe2\x98\x83"]
    assert made.ids.tolist() == values(made, 1) == ids


def test_what_else_a_record_carries_stays() -> None:
    made = stamped([0, 2])
    assert (made.cells[:, :, 0] == 7).all()
    assert (made.cells[:, 3] == 7).all()


@pytest.mark.parametrize("n", [1, 63, 3000])
@pytest.mark.parametrize("spread_ms", [1, 86_400_000, 500 * 86_400_000, 2**45, 2**49])
def test_times_are_rfc_3339(n: int, spread_ms: int) -> None:
    times = np.random.default_rng(n).integers(-spread_ms, spread_ms, n) + 1_709_164_800_000  # 29 February
    made = stamped(sorted(i % 4 for i in range(n)), times)
    assert values(made, 2) == [str(np.datetime64(t, "ms")).encode() + b"Z" for t in times.tolist()]


@pytest.mark.parametrize("day", ["0001-01-01", "1600-02-29", "1900-03-01", "1970-01-01", "2000-02-29", "9999-12-31"])
@pytest.mark.parametrize("ms", [0, 86_399_999])
def test_the_first_and_last_moment_of_odd_days(day: str, ms: int) -> None:
    time = np.array([np.datetime64(day, "ms").astype(np.int64) + ms])
    clock = b"T23:59:59.999Z" if ms else b"T00:00:00.000Z"
    assert values(stamped([0], time), 2) == [day.encode() + clock]
