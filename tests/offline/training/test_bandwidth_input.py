"""Windows and contexts against slow references; parts that do not see each other."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from offline.training.bandwidth_input import make_input, make_target, split_rows
from offline.training.bandwidth_trace import Trace, trace
from online_models.bandwidth.trained_input import (
    CALENDAR,
    COMPACT,
    CONTEXT_NAMES,
    ENHANCED,
    LEVEL_AT,
    NEWEST,
    SCALE_AT,
    Window,
    make_context,
)
from schemas.error import ConfigError
from schemas.network import HORIZON_MS, NetworkSample
from tests.offline.training.link_samples import make_records, small_trace, table_of

C = len(CONTEXT_NAMES)


def _slow_compact(r: NetworkSample, at_ms: int) -> list[float]:
    at = datetime.fromtimestamp(at_ms / 1000, UTC)
    return [
        r.throughput_mbps / 1000, r.rtt_ms / 100, r.packet_loss, r.jitter_ms / 50, at.hour / 24, at.weekday() / 7,
    ]  # fmt: skip


def test_compact_windows_equal_a_slow_reference() -> None:
    records = make_records(60, 3)
    found = trace(table_of(records), HORIZON_MS)
    row = np.flatnonzero(found.age >= COMPACT.samples - 1)
    x = make_input(found, COMPACT, row)
    by_link: dict[str, list[NetworkSample]] = {}
    expected = []
    for r in sorted(records, key=lambda r: (r.node_id, r.timestamp)):
        past = by_link.setdefault(r.node_id, [])
        past.append(r)
        if len(past) >= 10:
            period = float(found.period_ms[row[len(expected)]])
            expected.append(
                [
                    value
                    for age, one in zip(range(9, -1, -1), past[-10:], strict=True)
                    for value in _slow_compact(one, r.timestamp - int(period * age))
                ]
            )
    np.testing.assert_allclose(x[:, C:], expected, rtol=1e-6)


def test_enhanced_windows_are_the_last_thirty_of_the_link() -> None:
    found = small_trace()
    row = np.flatnonzero(found.age >= ENHANCED.samples - 1)[::37]
    x = make_input(found, ENHANCED, row)
    assert x.shape == (len(row), C + 30 * 34)
    for k, i in enumerate(row.tolist()):
        mine = np.flatnonzero((found.link == found.link[i]) & (found.time_ms <= found.time_ms[i]))
        last = mine[np.argsort(found.time_ms[mine])][-30:]
        np.testing.assert_array_equal(x[k, C:].reshape(30, 34), found.feature[last])


@pytest.mark.parametrize("window", [NEWEST, COMPACT, ENHANCED])
def test_names_fit_the_columns(window: Window) -> None:
    names = window.input_names
    assert len(names) == len(set(names)) == C + window.samples * len(window.features)
    assert names[-1] == f"{window.features[-1]}@-0"
    assert names[C] == f"{window.features[0]}@-{window.samples - 1}"


@pytest.mark.parametrize("hours", [0, 5, 23, 24, 119, 120, 1000])
def test_the_calendar_is_that_of_the_target_time(hours: int) -> None:
    target_ms = 1_767_571_200_000 + hours * 3_600_000 + 17 * 60_000
    at = datetime.fromtimestamp(target_ms / 1000, UTC)
    found = make_context(np.zeros((1, 16, 4)), np.zeros((1, 4)), np.array([target_ms]))[0, -len(CALENDAR) :]
    minute = at.hour * 60 + at.minute
    angle = 2 * np.pi * minute / 1440
    expected = [minute, np.sin(angle), np.cos(angle), at.weekday(), at.weekday() >= 5]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_targets_are_differences_to_the_level_in_scales() -> None:
    found = small_trace()
    row = np.flatnonzero(np.isfinite(found.target[:, 0]) & (found.age > 29))
    level = found.context[row, LEVEL_AT : LEVEL_AT + 4]
    scale = found.context[row, SCALE_AT : SCALE_AT + 4]
    y = make_target(found, row)
    inside = np.abs(y) < 10
    np.testing.assert_allclose((level + scale * y)[inside], found.target[row][inside], rtol=1e-5)
    assert np.abs(y).max() <= 10


def test_parts_are_a_horizon_apart_and_have_whole_windows() -> None:
    found = small_trace()
    training, validation, test = split_rows(found, HORIZON_MS, 10_000)
    assert found.time_ms[training].max() + HORIZON_MS < found.time_ms[validation].min()
    assert found.time_ms[validation].max() + HORIZON_MS < found.time_ms[test].min()
    for part in (training, validation, test):
        assert found.age[part].min() >= 29
        assert np.isfinite(found.target[part]).all()


def test_parts_are_thinned_evenly() -> None:
    found = small_trace()
    training, validation, _ = split_rows(found, HORIZON_MS, 300)
    whole, _, _ = split_rows(found, HORIZON_MS, 10_000)
    assert (len(training), len(validation)) == (300, 120)
    gaps = np.diff(np.searchsorted(found.time_ms[whole], found.time_ms[training]))
    assert gaps.max() <= 2 * len(whole) / 300


@pytest.mark.parametrize("minutes", [20, 60, 120])
def test_too_little_data_is_said(minutes: int) -> None:
    short: Trace = trace(table_of(make_records(minutes, 2)), HORIZON_MS)
    with pytest.raises(ConfigError, match="--data"):
        split_rows(short, HORIZON_MS, 1000)
