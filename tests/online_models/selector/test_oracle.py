"""Labels by the named formulas, one transfer at a time in plain Python."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from online_models.selector.heuristic import heuristic
from online_models.selector.oracle import AMST, HDE, HISTORY, NONE, OUTCOME, SOURCES, Formula, label_of
from online_models.selector.state import CompressionState
from schemas.field import ALGORITHMS
from schemas.topic import COMPRESSION_LABEL
from tests.online_models.stream import START_MS, transfer, transfer_stream, transfers_of

BOTH = {
    "hde_compression_ratio": 4.0,
    "hde_latency_ms": 10.0,
    "hde_cpu_usage": 50.0,
    "amst_transfer_rate_mbps": 400.0,
    "amst_latency_ms": 20.0,
    "amst_cpu_usage": 10.0,
}
OUTCOMES = {f"outcome_{name}": value for name, value in BOTH.items()}


def _columns(**fields: Any) -> dict[str, np.ndarray]:
    return transfers_of([transfer("e", START_MS, **fields)]).columns


def _by_hand(formula: str, m: dict[str, float], bandwidth: float, rtt: float, payload: int) -> tuple[float, float]:
    ratio, hde_ms, hde_cpu, rate, amst_ms, amst_cpu = m.values()
    if formula == "collection_plan":
        hde = ratio * bandwidth / (hde_ms * hde_cpu * 0.01 + 1e-6)
        return hde, rate * bandwidth * 0.01 / (amst_ms * amst_cpu * 0.01 + 1e-6)
    if formula == "unscaled":
        return ratio * bandwidth / (hde_ms * hde_cpu + 1e-6), rate * bandwidth / (amst_ms * amst_cpu + 1e-6)
    mib = payload / 2**20
    hde = mib / ratio * 8 / bandwidth * 1000 + 2 * rtt + hde_ms * hde_cpu * 0.01
    return -hde, -(mib * 8 / rate * 1000 + 2 * rtt + amst_ms * amst_cpu * 0.01)


@pytest.mark.parametrize("formula", ["collection_plan", "unscaled", "completion_time"])
@pytest.mark.parametrize("ratio", [1.0, 4.0, 400.0])
@pytest.mark.parametrize("rate", [1.0, 400.0, 9000.0])
def test_utilities_and_label_follow_the_formula(formula: Formula, ratio: float, rate: float) -> None:
    fields = OUTCOMES | {"outcome_hde_compression_ratio": ratio, "outcome_amst_transfer_rate_mbps": rate}
    found = label_of(_columns(**fields), formula)
    hde, amst = _by_hand(formula, fields, 500.0, 20.0, 1 << 20)
    assert found.utility_hde[0] == pytest.approx(hde)
    assert found.utility_amst[0] == pytest.approx(amst)
    assert found.label[0] == (HDE if hde > amst else AMST)
    assert 0.0 <= found.margin[0] <= 1.0


def test_classes_are_in_the_contracts_order() -> None:
    assert (ALGORITHMS[HDE], ALGORITHMS[AMST]) == ("HDE", "AMST")


@pytest.mark.parametrize(
    ("fields", "label", "source"),
    [
        (BOTH | OUTCOMES, AMST, OUTCOME),
        (BOTH | OUTCOMES | {"outcome_hde_cpu_usage": 5.0}, HDE, OUTCOME),
        (BOTH, AMST, HISTORY),
        (BOTH | OUTCOMES | {"outcome_amst_cpu_usage": None}, AMST, HISTORY),
        ({}, NONE, HISTORY),
        ({"hde_compression_ratio": 2.0}, NONE, HISTORY),
    ],
)
def test_outcomes_come_first_then_history_then_nothing(fields: dict[str, Any], label: int, source: int) -> None:
    found = label_of(_columns(**fields))
    assert (found.label[0], found.source[0]) == (label, source)


@pytest.mark.parametrize("zero", list(OUTCOMES))
def test_zeros_stay_finite(zero: str) -> None:
    fields = OUTCOMES | {zero: 1e-9 if zero.endswith("ratio") else 0.0}
    for formula in ("collection_plan", "unscaled", "completion_time"):
        found = label_of(_columns(**fields), formula)
        assert np.isfinite([found.utility_hde[0], found.utility_amst[0], found.margin[0]]).all()


@pytest.mark.parametrize(
    ("rtt", "bandwidth", "ratio", "hits", "expected"),
    [
        (0.9, 501.0, 20.0, 90.0, AMST),
        (1.0, 501.0, 20.0, 90.0, HDE),
        (0.9, 500.0, 20.0, 90.0, HDE),
        (5.0, 500.0, 10.0, 90.0, AMST),
        (5.0, 500.0, 20.0, 80.0, AMST),
        (5.0, 99.9, 1.0, 0.0, HDE),
        (5.0, 100.0, 1.0, 0.0, AMST),
        (5.0, 500.0, None, None, AMST),
        (5.0, 50.0, None, None, HDE),
    ],
)
def test_heuristic(rtt: float, bandwidth: float, ratio: float | None, hits: float | None, expected: int) -> None:
    columns = _columns(
        rtt_ms=rtt, bandwidth_available_mbps=bandwidth, hde_compression_ratio=ratio, hde_delta_hit_rate=hits
    )
    assert heuristic(columns)[0] == expected


def test_many_labels_agree_with_one_at_a_time() -> None:
    records = transfer_stream(200)
    together = label_of(transfers_of(records).columns)
    for row, record in enumerate(records):
        alone = label_of(transfers_of([record]).columns)
        for many, one in zip(together, alone, strict=True):
            np.testing.assert_array_equal(many[row], one[0])


def test_the_agent_labels_as_the_oracle() -> None:
    batch = transfers_of(transfer_stream(600))
    rng = np.random.default_rng(1)
    for name in OUTCOMES:
        batch.columns[name][rng.random(len(batch)) < 0.1] = np.nan
    label = label_of(batch.columns)
    row = np.flatnonzero(label.label != NONE)
    assert len(row) < len(batch)
    assert set(label.source[row]) == {OUTCOME, HISTORY}
    made = CompressionState().step(batch).outputs[COMPRESSION_LABEL]
    np.testing.assert_array_equal(made.row, row)
    said = made.columns
    assert list(said["label"]) == [ALGORITHMS[k] for k in label.label[row]]
    assert list(said["label_source"]) == [SOURCES[k] for k in label.source[row]]
    for name in ("utility_hde", "utility_amst", "margin"):
        np.testing.assert_array_equal(said[name], getattr(label, name)[row])
