"""What must not help the selector does not: outcomes, shuffled labels, another transfer's features."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from online_models.selector.feature import feature_matrix
from online_models.selector.state import CompressionState
from schemas.compression import FEATURES, CompressionTelemetry
from tests.online_models.stream import transfer_stream, transfers_of

OUTCOME_FIELDS = [n for n in CompressionTelemetry.__struct_fields__ if n.startswith(("outcome_", "actual_"))]
REALISED = [name for name in OUTCOME_FIELDS if name.startswith("outcome_")]
N = 4000


def _gain(records: list[CompressionTelemetry]) -> float:
    """Accuracy of the model alone above the majority class."""
    state = CompressionState()
    state.step(transfers_of(records))
    gauges = state.gauges()
    (right, scored), (majority, _) = gauges["selector_model_accuracy"], gauges["selector_majority_accuracy"]
    assert scored == N
    return (right - majority) / scored


def _with_outcomes_of(records: list[CompressionTelemetry], order: np.ndarray) -> list[CompressionTelemetry]:
    return [
        msgspec.structs.replace(r, **{name: getattr(records[int(k)], name) for name in REALISED})
        for r, k in zip(records, order, strict=True)
    ]


@pytest.mark.parametrize("seed", [0, 1])
def test_shuffled_outcomes_leave_nothing_to_learn(seed: int) -> None:
    records = transfer_stream(N, seed)
    assert _gain(records) > 0.2
    assert _gain(_with_outcomes_of(records, np.random.default_rng(seed).permutation(N))) < 0.04


@pytest.mark.parametrize("shift", [1, 7, -1])
def test_features_of_another_transfer_leave_nothing_to_learn(shift: int) -> None:
    records = transfer_stream(N)
    assert _gain(_with_outcomes_of(records, np.roll(np.arange(N), shift))) < 0.04


@pytest.mark.parametrize("name", OUTCOME_FIELDS)
def test_trained_models_see_no_outcome(name: str) -> None:
    records = transfer_stream(30)
    other = "AMST" if name == "actual_algorithm" else 7.25
    changed = [msgspec.structs.replace(r, **{name: other}) for r in records]
    expected = feature_matrix(transfers_of(records).columns)
    assert expected.shape == (30, len(FEATURES))
    np.testing.assert_array_equal(feature_matrix(transfers_of(changed).columns), expected)


def test_the_vector_is_the_contracts() -> None:
    record = transfer_stream(1)[0]
    row = dict(zip(FEATURES, feature_matrix(transfers_of([record]).columns)[0].tolist(), strict=True))
    assert row["link_type"] == ("dc", "metro", "wan", "edge").index(record.link_type)
    assert row["payload_size"] == pytest.approx(record.payload_size)
    assert row["has_baseline"] == 0.0
    assert np.isnan(row["entropy_estimate"])
