"""What every state keeps, whatever it computes."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from online_models.anomaly.state import SystemState
from online_models.bandwidth.state import NetworkState
from online_models.selector.state import CompressionState
from schemas.batch import Batch
from schemas.topic import (
    COMPRESSION_LABEL,
    COMPRESSION_PREDICTION,
    NETWORK_FEATURES,
    NETWORK_FORECAST,
    NETWORK_SCORE,
    SYSTEM_SCORE,
)
from tests.online_models.stream import (
    disturb,
    encoded,
    metric_stream,
    metrics_of,
    network_stream,
    run_cut,
    samples_of,
    transfer_stream,
    transfers_of,
)


def _network() -> Batch:
    return samples_of(disturb(network_stream(minutes=260, links=5)))


def _compression() -> Batch:
    return transfers_of(disturb(transfer_stream(2500), late_ms=60_000))


def _system() -> Batch:
    return metrics_of(disturb(metric_stream(steps=300, nodes=6)))


CASES = [
    pytest.param(NetworkState, _network, (NETWORK_FEATURES, NETWORK_FORECAST), id="network"),
    pytest.param(CompressionState, _compression, (COMPRESSION_PREDICTION, COMPRESSION_LABEL), id="compression"),
    pytest.param(SystemState, _system, (SYSTEM_SCORE,), id="system"),
]
COUNTS = {"network": ("network", "samples"), "compression": ("selector", "transfers"), "system": ("system", "records")}
STATES = [pytest.param(case.values[0], id=case.id) for case in CASES]


@pytest.mark.parametrize(("state", "make", "always"), CASES)
@pytest.mark.parametrize("seed", [1, 2])
def test_results_do_not_depend_on_the_cut(state: Any, make: Any, always: Any, seed: int) -> None:
    batch = make()
    assert run_cut(state(), batch, seed) == encoded([(0, state().step(batch))])


@pytest.mark.parametrize(("state", "make", "always"), CASES)
def test_every_row_is_answered_once_or_rejected(state: Any, make: Any, always: Any) -> None:
    batch = make()
    result = state().step(batch)
    late = {rejection.row for rejection in result.rejected}
    assert late or state is CompressionState
    assert {rejection.error.reason for rejection in result.rejected} <= {"late"}
    for topic in always:
        assert result.outputs[topic].row.tolist() == [row for row in range(len(batch)) if row not in late]


@pytest.mark.parametrize(("state", "make", "always"), CASES)
def test_outputs_decode_as_their_records(state: Any, make: Any, always: Any) -> None:
    result = state().step(make())
    for topic, output in result.outputs.items():
        assert np.all(np.diff(output.row) >= 0)
        decoder = msgspec.json.Decoder(topic.record)
        for _, line in encoded([(0, type(result)({topic: output}))])[topic.name]:
            decoder.decode(line)


@pytest.mark.parametrize(("state", "make", "always"), CASES)
def test_a_repeated_batch_leaves_state_and_answers_alone(state: Any, make: Any, always: Any) -> None:
    batch = make()
    fed = state()
    fed.step(batch)
    once = fed.step(batch)
    again = fed.step(batch)
    assert encoded([(0, again)]) == encoded([(0, once)])
    assert NETWORK_SCORE not in once.outputs


@pytest.mark.parametrize("state", STATES)
def test_warm_runs_and_gauges_are_finite(state: Any) -> None:
    state.warm()
    for name, (numerator, denominator) in state().gauges().items():
        assert name.islower()
        assert np.isfinite(numerator)
        assert denominator is None or denominator >= 0


@pytest.mark.parametrize(("state", "make", "always"), CASES)
def test_gauges_count_what_arrived(state: Any, make: Any, always: Any) -> None:
    batch = make()
    fed = state()
    result = fed.step(batch)
    gauges = {name: value for name, (value, _) in fed.gauges().items()}
    (prefix, total) = COUNTS[batch.topic.dataset]
    assert gauges[f"{prefix}_late"] == len(result.rejected)
    assert gauges[f"{prefix}_duplicates"] > 0
    assert gauges[f"{prefix}_reordered"] > 0
    assert gauges[f"{prefix}_{total}"] == len(batch)


@pytest.mark.parametrize(("state", "make", "always"), CASES)
def test_an_empty_batch_is_nothing(state: Any, make: Any, always: Any) -> None:
    batch = make()
    empty = Batch(
        batch.topic, 0, {name: column[:0] for name, column in batch.columns.items()}, [], batch.offset[:0], []
    )
    result = state().step(empty)
    assert not result.outputs
    assert not result.rejected
