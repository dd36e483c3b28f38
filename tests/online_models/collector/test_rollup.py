"""Rollups say what a window's records were, once, whatever the cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from online_models.arrival import LATENESS_MS
from online_models.collector.histogram import BINS, GROWTH, add_count, add_value, quantile_of
from online_models.collector.rollup import RollupState
from schemas.batch import Batch
from schemas.rollup import ROLLUP_METRICS, WINDOW_MS, SystemRollup
from schemas.system import SystemMetrics
from schemas.topic import SYSTEM_ROLLUP
from tests.online_models.stream import (
    MINUTE_MS,
    disturb,
    encoded,
    metric_stream,
    metrics,
    metrics_of,
    run_cut,
)

HOUR_MS = WINDOW_MS["hour"]
DAY_MS = WINDOW_MS["day"]
MIDNIGHT_MS = 1_700_006_400_000


def _stream() -> Batch:
    """Seven nodes over 30 hours, ten minutes apart, with repeats, stragglers and late records."""
    records = [
        msgspec.structs.replace(r, timestamp=MIDNIGHT_MS + (r.timestamp - 1_700_000_040_000) * 120 + 1)
        for r in metric_stream(steps=180, nodes=7)
    ]
    return metrics_of(disturb(records))


def _rollups(records: Sequence[SystemMetrics], state: RollupState | None = None) -> list[SystemRollup]:
    result = (state or RollupState()).step(metrics_of(records))
    decoder = msgspec.json.Decoder(SystemRollup)
    return [decoder.decode(line) for _, line in encoded([(0, result)]).get(SYSTEM_ROLLUP.name, [])]


def _at(minutes: Sequence[float], values: Sequence[float]) -> list[SystemMetrics]:
    return [metrics(MIDNIGHT_MS + round(m * MINUTE_MS), cpu_usage=v) for m, v in zip(minutes, values, strict=True)]


@pytest.mark.parametrize("seed", [1, 2])
def test_results_do_not_depend_on_the_cut(seed: int) -> None:
    batch = _stream()
    whole = encoded([(0, RollupState().step(batch))])
    assert len(whole[SYSTEM_ROLLUP.name]) > 7 * 29
    assert run_cut(RollupState(), batch, seed) == whole


@pytest.mark.parametrize("pieces", [1, 3])
def test_captures_restore_the_state_bit_for_bit(pieces: int) -> None:
    batch = _stream()
    half = len(batch) // 2
    fed, copy = RollupState(), RollupState()
    for first, end in zip(*[np.linspace(0, half, pieces + 1).astype(int)[k:][:pieces] for k in (0, 1)], strict=True):
        fed.step(batch.take(int(first), int(end)))
        for piece in fed.capture():
            copy.load(piece)
    assert copy.digest() == fed.digest()
    rest = batch.take(half, len(batch))
    assert encoded([(0, copy.step(rest))]) == encoded([(0, fed.step(rest))])


def test_a_repeated_batch_says_nothing_and_changes_nothing() -> None:
    batch, fed = _stream(), RollupState()
    fed.step(batch)
    before = fed._table.rows.tobytes()
    assert not fed.step(batch).outputs
    assert fed._table.rows.tobytes() == before


def test_late_records_are_rejected_and_counted() -> None:
    batch, fed = _stream(), RollupState()
    result = fed.step(batch)
    gauges = {name: value for name, (value, _) in fed.gauges().items()}
    assert {r.error.reason for r in result.rejected} == {"late"}
    assert gauges["rollup_late"] == len(result.rejected) > 0
    assert gauges["rollup_records"] == len(batch)
    assert gauges["rollup_hours"] + gauges["rollup_days"] == len(result.outputs[SYSTEM_ROLLUP].row)


def test_an_hour_s_figures_are_those_of_its_records() -> None:
    rng = np.random.default_rng(3)
    values = rng.uniform(20, 90, 720)
    (hour,) = _rollups(_at([*np.arange(720) / 12, 61], [*values, 5.0]))
    found = hour.metrics["cpu_usage"]
    assert (hour.window, hour.window_start, hour.window_end) == ("hour", MIDNIGHT_MS, MIDNIGHT_MS + HOUR_MS)
    assert (hour.samples, hour.timestamp) == (720, MIDNIGHT_MS + 719 * 5000)
    assert found.mean == pytest.approx(values.mean())
    assert found.max == values.max()
    assert found.p95 == pytest.approx(np.quantile(values, 0.95), rel=0.02)
    assert set(hour.metrics) == set(ROLLUP_METRICS)


def test_a_day_is_told_beside_its_last_hour() -> None:
    minutes = [*np.arange(0, 24 * 60, 20), 24 * 60 + 5]
    found = _rollups(_at(minutes, np.linspace(10, 80, len(minutes)).tolist()))
    assert [r.window for r in found] == ["hour"] * 24 + ["day"]
    assert found[-1].samples == 72
    assert found[-1].window_end == MIDNIGHT_MS + DAY_MS
    assert found[-1].metrics["cpu_usage"].mean == pytest.approx(
        np.mean([r.metrics["cpu_usage"].mean for r in found[:-1]])
    )


def test_records_of_one_row_have_different_ids() -> None:
    fed = RollupState()
    output = fed.step(metrics_of(_at([0, 24 * 60], [1.0, 2.0]))).outputs[SYSTEM_ROLLUP]
    assert output.row.tolist() == [1, 1]
    assert output.suffix == ["hour", "day"]


def test_empty_hours_are_not_told() -> None:
    found = _rollups(_at([10, 5 * 60 + 10, 6 * 60 + 10], [1.0, 2.0, 3.0]))
    assert [(r.window_start - MIDNIGHT_MS) // HOUR_MS for r in found] == [0, 5]


@pytest.mark.parametrize("behind_ms", [0, 1, LATENESS_MS, LATENESS_MS + 1])
def test_what_is_not_ahead_of_the_clock_changes_no_window(behind_ms: int) -> None:
    first, last = _at([20, 70], [50.0, 1.0])
    behind = metrics(first.timestamp - behind_ms, cpu_usage=99.0)
    (hour,) = _rollups([first, behind, last])
    assert (hour.samples, hour.metrics["cpu_usage"].max) == (1, 50.0)


def test_nodes_do_not_mix() -> None:
    records = [metrics(MIDNIGHT_MS + k * 20 * MINUTE_MS, f"n{n}", cpu_usage=10.0 * n) for k in range(5) for n in (1, 2)]
    assert {(r.node_id, r.metrics["cpu_usage"].max) for r in _rollups(records)} == {("n1", 10.0), ("n2", 20.0)}


@pytest.mark.parametrize("kind", ["normal", "exponential", "rising", "falling", "steps", "daily", "mostly zero"])
@pytest.mark.parametrize("n", [720, 17_280])
def test_p95_is_near_whatever_the_order(kind: str, n: int) -> None:
    rng = np.random.default_rng(n)
    ordered = np.sort(rng.normal(100, 30, n).clip(1))
    made: dict[str, Any] = {
        "normal": rng.normal(100, 20, n).clip(1),
        "exponential": rng.exponential(3.0, n),
        "rising": ordered,
        "falling": ordered[::-1],
        "steps": rng.integers(0, 100, n).astype(float),
        "daily": 50 + 30 * np.sin(np.linspace(0, 2 * np.pi, n)) + rng.normal(0, 2, n),
        "mostly zero": np.where(rng.random(n) < 0.1, rng.uniform(1, 50, n), 0.0),
    }
    values = made[kind]
    assert _quantile(values) == pytest.approx(np.quantile(values, 0.95), rel=0.05)


@pytest.mark.parametrize("value", [0.0, 1e-12, 7.0, 100.0, 1e15])
def test_p95_of_equal_values_is_that_value(value: float) -> None:
    assert _quantile(np.full(500, value)) == pytest.approx(value, abs=1e-9, rel=0.13)
    assert _quantile(np.full(500, value)) <= value


@pytest.mark.parametrize("seed", range(5))
def test_p95_of_few_lies_among_the_highest(seed: int) -> None:
    values = np.random.default_rng(seed).exponential(3.0, 100)
    assert np.quantile(values, 0.92) <= _quantile(values) <= np.quantile(values, 0.98)


def test_far_outliers_leave_p95_bounded_by_the_lowest_bin() -> None:
    values = np.full(1000, 1.0)
    values[::100] = 1e6
    assert 1.0 <= _quantile(values) <= 1e6 / GROWTH ** (BINS - 2)


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=60), st.integers(0, 60))
def test_histograms_add_up(values: list[float], cut: int) -> None:
    whole, top = _histogram(values)
    first, first_top = _histogram(values[:cut])
    second, second_top = _histogram(values[cut:])
    for k in range(BINS):
        if second[0, k]:
            add_count(first, first_top, 0, int(second_top[0]) - (BINS - 1 - k), int(second[0, k]))
    assert first.tolist() == whole.tolist()
    assert not whole.any() or first_top.tolist() == top.tolist()


def _histogram(values: Sequence[float]) -> tuple[Any, Any]:
    bins, top = np.zeros((1, BINS), np.uint32), np.zeros(1, np.int32)
    for x in values:
        add_value(bins, top, 0, float(x))
    return bins, top


def _quantile(values: Any) -> float:
    bins, top = _histogram(values)
    return float(quantile_of(bins[0], top[0], len(values), 0.95, float(values.max())))


def test_warm_runs() -> None:
    RollupState.warm()
