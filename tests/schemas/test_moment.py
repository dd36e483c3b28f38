"""Every form of time is the same instant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.batch import object_column
from schemas.ingest import NetworkIngest
from schemas.moment import epoch_ms, epoch_ms_column
from schemas.raw import RawTime
from tests.schemas.raw import NETWORK, T, column, ingest, refusal

END = 4_102_444_800_000
moments = st.datetimes(datetime(1974, 1, 1), datetime(2099, 12, 31))


@pytest.mark.parametrize(
    "sent",
    [
        T,
        T * 1000,
        T * 1_000_000,
        T * 1_000_000 + 456_789,
        T / 1000,
        float(T),
        "2026-01-02T03:04:05.123Z",
        "2026-01-02T03:04:05.123456789Z",
        "2026-01-02t03:04:05.123z",
        "2026-01-02T04:04:05.123+01:00",
        "2026-01-01T21:34:05.123456789-05:30",
        "2026-01-02T03:04:05.123",
    ],
)
def test_every_form_of_time_is_the_same_instant(sent: object) -> None:
    assert column(ingest(NetworkIngest, NETWORK | {"timestamp": sent}), "timestamp") == T


def test_epoch_seconds_have_no_milliseconds() -> None:
    assert epoch_ms(T // 1000) == T // 1000 * 1000


@given(st.integers(130_000_000_000, END - 1))
def test_a_millisecond_is_the_same_in_every_unit(ms: int) -> None:
    assert {epoch_ms(ms / 1000), epoch_ms(ms), epoch_ms(ms * 1000), epoch_ms(ms * 1_000_000)} == {ms}


@given(st.integers(130_000_000_000_000_000, END * 1_000_000 - 1))
def test_nanoseconds_are_the_same_as_text_and_as_a_number(ns: int) -> None:
    second, fraction = divmod(ns, 1_000_000_000)
    text = f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}.{fraction:09d}Z"
    assert epoch_ms(msgspec.json.decode(msgspec.json.encode(text), type=RawTime)) == epoch_ms(ns)


@given(st.lists(moments, min_size=1), st.integers(-14, 14))
def test_a_column_of_times_is_exact(times: list[datetime], hours: int) -> None:
    zoned = [t.replace(tzinfo=timezone(timedelta(hours=hours))) for t in times]
    assert epoch_ms_column(object_column(zoned)).tolist() == [epoch_ms(t) for t in zoned]


@given(st.lists(st.one_of(st.integers(), st.integers(0, 1 << 63)), min_size=1))
@example([99_999_999_999_999_992])
def test_a_column_of_integers_is_exact(numbers: list[int]) -> None:
    assert epoch_ms_column(object_column(numbers)).tolist() == [epoch_ms(n) for n in numbers]


def test_forms_may_be_mixed() -> None:
    sent = [T, datetime.fromtimestamp(T // 1000, UTC), datetime(2026, 1, 2), T / 1000]
    assert epoch_ms_column(object_column(sent)).tolist() == [T, T // 1000 * 1000, 1_767_312_000_000, T]
    assert epoch_ms_column(np.empty(0, np.object_)).tolist() == []


@pytest.mark.parametrize("value", [1e308, -1, -0.001, 1e20, -1e308, 1 << 70, "0001-01-01T00:00:00Z"])
def test_what_is_no_time_is_rejected(value: object) -> None:
    error = refusal(ingest(NetworkIngest, NETWORK | {"timestamp": value}))
    assert error.reason == "range"
    assert "timestamp" in str(error)
