"""The selector as it learns."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from online_models.selector.feature import AMST_INPUTS, HDE_INPUTS, INPUTS, inputs_of, numbers, selector_inputs
from online_models.selector.state import CompressionState
from schemas.compression import CompressionTelemetry
from schemas.topic import COMPRESSION_LABEL, COMPRESSION_PREDICTION, DRIFT_ALERT
from tests.online_models.stream import START_MS, transfer, transfer_stream, transfers_of

OUTCOME_FIELDS = [n for n in CompressionTelemetry.__struct_fields__ if n.startswith(("outcome_", "actual_"))]


def _utility_inputs(columns: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of both sides' utilities, a row per transfer."""
    number = numbers(columns)
    hde, amst = np.empty((len(number), len(HDE_INPUTS))), np.empty((len(number), len(AMST_INPUTS)))
    for one, h, a in zip(number, hde, amst, strict=True):
        inputs_of(one, h, a)
    return hde, amst


def _inputs(columns: dict[str, np.ndarray]) -> np.ndarray:
    """Whatever an online model sees."""
    return np.hstack([*_utility_inputs(columns), selector_inputs(columns)])


def _rate(state: CompressionState, name: str) -> float:
    numerator, denominator = state.gauges()[name]
    assert denominator
    return numerator / denominator


@pytest.mark.parametrize("name", OUTCOME_FIELDS)
def test_no_outcome_can_reach_the_inputs(name: str) -> None:
    records = transfer_stream(50)
    other = "AMST" if name == "actual_algorithm" else 7.25
    changed = [msgspec.structs.replace(r, **{name: other}) for r in records]
    hidden = [msgspec.structs.replace(r, **{name: None}) for r in records]
    expected = _inputs(transfers_of(records).columns)
    np.testing.assert_array_equal(_inputs(transfers_of(changed).columns), expected)
    np.testing.assert_array_equal(_inputs(transfers_of(hidden).columns), expected)


def test_inputs_do_not_even_need_the_outcome_columns() -> None:
    columns = transfers_of(transfer_stream(20)).columns
    bare = {name: column for name, column in columns.items() if name not in OUTCOME_FIELDS}
    np.testing.assert_array_equal(_inputs(bare), _inputs(columns))


def test_the_inputs_of_the_utilities_are_what_their_names_say() -> None:
    record = transfer(
        "e", START_MS, entropy_estimate=6.0, repetition_score=3.0, amst_transfer_rate_mbps=50.0, hde_cpu_usage=8.0
    )
    hde, amst = (x[0].tolist() for x in _utility_inputs(transfers_of([record]).columns))
    by_hde, by_amst = dict(zip(HDE_INPUTS, hde, strict=True)), dict(zip(AMST_INPUTS, amst, strict=True))
    wire_ms, lately_ms = 2**20 * 8 / 500e3 + 40.0, 2**20 * 8 / 50e3 + 40.0
    assert by_amst["log_wire"] == pytest.approx(np.log(wire_ms))
    assert by_amst["log_work_lately"] == pytest.approx(np.log(100.0 + lately_ms))
    assert by_amst["log_mib"] == 0.0
    assert np.isnan(by_amst["log_hde_ratio"])
    assert by_hde["log_wire_per_mib"] == pytest.approx(np.log(wire_ms + 10.0))
    assert by_hde["entropy_wire"] == pytest.approx(0.5 * np.log(wire_ms + 10.0))
    assert by_hde["log_hde_cpu"] == pytest.approx(np.log(8.0))
    assert by_hde["log_repetition"] == pytest.approx(np.log(4.0) - 1.0)


@pytest.mark.parametrize("size", [1, 1 << 50])
@pytest.mark.parametrize("rtt", [0.0, 3.6e6])
def test_inputs_stay_finite(size: int, rtt: float) -> None:
    fields = {"amst_transfer_rate_mbps": 0.0, "hde_latency_ms": 0.0, "hde_compression_ratio": 1e-9}
    record = transfer("e", START_MS, payload_size=size, rtt_ms=rtt, **fields)
    for x, names in zip(_utility_inputs(transfers_of([record]).columns), (HDE_INPUTS, AMST_INPUTS), strict=True):
        known = dict(zip(names, x[0].tolist(), strict=True))
        assert not np.isinf(x).any()
        assert np.isfinite(known["log_hde_ratio"])


def test_a_prediction_does_not_know_its_own_outcome() -> None:
    records = transfer_stream(600)
    flipped = [*records[:-1], msgspec.structs.replace(records[-1], outcome_hde_compression_ratio=1e5)]
    found = [
        CompressionState().step(transfers_of(r)).outputs[COMPRESSION_PREDICTION].columns["probability_amst"]
        for r in (records, flipped)
    ]
    np.testing.assert_array_equal(*found)


def test_missing_history_is_missing_not_zero() -> None:
    inputs = selector_inputs(transfers_of([transfer("e", START_MS)]).columns)[0]
    known = dict(zip(INPUTS, inputs.tolist(), strict=True))
    assert np.isnan(known["log_utility_ratio"])
    assert np.isnan(known["log1p_hde_compression_ratio"])
    assert known["missing_hde_compression_ratio"] == 1.0
    assert known["link_type_wan"] == 1.0
    assert known["log1p_rtt_ms"] == pytest.approx(np.log1p(20.0))


@pytest.mark.parametrize("noise", [0.05, 0.2])
@pytest.mark.parametrize("seed", [0, 1])
def test_the_selector_beats_majority_and_heuristic(noise: float, seed: int) -> None:
    state = CompressionState()
    state.step(transfers_of(transfer_stream(4000, seed, noise)))
    assert 0.3 < _rate(state, "selector_majority_accuracy") < 0.7
    assert _rate(state, "selector_accuracy") > _rate(state, "selector_majority_accuracy") + 0.1
    assert _rate(state, "selector_accuracy") > _rate(state, "selector_heuristic_accuracy") + 0.1
    assert _rate(state, "selector_regret") < 0.3 * _rate(state, "selector_heuristic_regret")


def test_before_it_is_ready_the_heuristic_answers() -> None:
    state = CompressionState(ready_after=100)
    made = state.step(transfers_of(transfer_stream(300))).outputs[COMPRESSION_PREDICTION].columns
    assert set(made["fallback_reason"][:100]) == {"not_ready"}
    assert "not_ready" not in set(made["fallback_reason"][100:])
    fallback = np.asarray(made["fallback"])
    assert (made["algorithm"][fallback] == made["heuristic_algorithm"][fallback]).all()
    assert (made["confidence"][fallback] == 0.5).all()
    assert set(made["model_name"][fallback]) == {"heuristic"}
    assert set(made["model_name"][~fallback]) == {"utility"}
    assert (made["confidence"][~fallback] > 0.6).all()
    clear = ~fallback & (np.abs(made["probability_amst"] - 0.5) > 0.45)
    assert (made["algorithm"][clear] == np.where(made["probability_amst"][clear] > 0.5, "AMST", "HDE")).all()


def test_transfers_that_cannot_be_labelled_get_a_prediction_only() -> None:
    result = CompressionState().step(transfers_of([transfer("e", START_MS)]))
    assert COMPRESSION_LABEL not in result.outputs
    assert len(result.outputs[COMPRESSION_PREDICTION].row) == 1


def test_labels_from_history_teach_but_do_not_score() -> None:
    records = [
        msgspec.structs.replace(r, **dict.fromkeys(OUTCOME_FIELDS), hde_compression_ratio=3.0)
        for r in transfer_stream(400)
    ]
    state = CompressionState()
    labels = state.step(transfers_of(records)).outputs[COMPRESSION_LABEL]
    assert set(labels.columns["label_source"]) == {"history"}
    assert state.gauges()["selector_scored"] == (0.0, None)
    assert state.gauges()["selector_learned"] == (400.0, None)


def test_transfers_of_one_millisecond_are_not_repeats() -> None:
    records = [msgspec.structs.replace(r, timestamp=START_MS) for r in transfer_stream(8, links=1)]
    state = CompressionState()
    state.step(transfers_of(records))
    assert state.gauges()["selector_learned"] == (8.0, None)
    state.step(transfers_of(records))
    assert state.gauges()["selector_learned"] == (8.0, None)
    assert state.gauges()["selector_duplicates"] == (8.0, None)


def test_a_turned_relation_raises_a_drift_alert() -> None:
    before, after = transfer_stream(4000, 0), transfer_stream(2000, 1)
    turned = [
        msgspec.structs.replace(
            r,
            timestamp=r.timestamp + 4000 * 50,
            outcome_hde_latency_ms=r.outcome_amst_latency_ms,
            outcome_amst_latency_ms=r.outcome_hde_latency_ms,
            outcome_hde_compression_ratio=r.outcome_amst_transfer_rate_mbps / 100,
            outcome_amst_transfer_rate_mbps=r.outcome_hde_compression_ratio * 100,
        )
        for r in after
    ]
    state = CompressionState()
    assert DRIFT_ALERT not in state.step(transfers_of(before)).outputs
    alert = state.step(transfers_of(turned)).outputs[DRIFT_ALERT]
    assert alert.row[0] < 1000
    assert alert.columns["value"][0] > alert.columns["threshold"][0]
    assert alert.columns["model"][0] == "utility"
