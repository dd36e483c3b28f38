"""A trained model in the vote: as much of it as it deserves, and nothing lost when it fails."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from online_models.bandwidth.artifact import load_forecaster
from online_models.bandwidth.record import MODEL_VERSION
from online_models.bandwidth.state import NetworkState
from online_models.bandwidth.trained_input import ENHANCED
from schemas.batch import Batch, Result
from schemas.error import FeatureMismatch, ModelRejected
from schemas.topic import NETWORK_FORECAST, NETWORK_SCORE
from tests.online_models.forecaster_model import Shelf, announce, foretold, informed, misled, sealed, serving, weights
from tests.online_models.stream import (
    MINUTE_MS,
    START_MS,
    disturb,
    encoded,
    network_stream,
    run_cut,
    sample,
    samples_of,
)


def _mae(result: Result, after: int = 0) -> float:
    return float(np.asarray(result.outputs[NETWORK_SCORE].columns["error"])[after:, 0].mean())


def _versions(result: Result) -> list[str]:
    return list(result.outputs[NETWORK_FORECAST].columns["model_version"])


def _gauge(state: NetworkState, name: str) -> float:
    return state.gauges()[f"forecast_model_{name}"][0]


@pytest.fixture(scope="module")
def batch() -> Batch:
    return samples_of(foretold(600))


@pytest.fixture(scope="module")
def alone(batch: Batch) -> Result:
    return NetworkState().step(batch)


def test_a_better_model_is_published_and_named(batch: Batch, alone: Result) -> None:
    state = serving(sealed(informed(), "queue-1"))
    result = state.step(batch)
    assert _mae(result, 600) < 0.3 * _mae(alone, 600)
    assert set(_versions(result)[:20]) == {MODEL_VERSION}
    assert set(_versions(result)[600:]) == {f"{MODEL_VERSION}+queue-1"}
    assert set(result.outputs[NETWORK_SCORE].columns["model_version"][600:]) == {f"{MODEL_VERSION}+queue-1"}
    assert _gauge(state, "asked") == len(batch)
    assert _gauge(state, "failed") == 0.0
    assert _gauge(state, "used") > 1000
    assert state.gauges()["bandwidth_champion"][0] == 1.0


def test_a_worse_model_costs_nearly_nothing(batch: Batch, alone: Result) -> None:
    result = serving(sealed(misled())).step(batch)
    assert _mae(result) < 1.02 * _mae(alone)


def test_intervals_hold_with_a_model(batch: Batch) -> None:
    covered = np.asarray(serving(sealed(informed())).step(batch).outputs[NETWORK_SCORE].columns["covered"])[600:, :2]
    assert ((covered.mean(axis=0) > 0.86) & (covered.mean(axis=0) < 0.95)).all()


def test_without_answers_everything_is_as_without_a_model(batch: Batch, alone: Result) -> None:
    lost = serving(sealed(weights(), logarithm=True))
    batch = samples_of([_empty(record) for record in foretold(100)])
    result = lost.step(batch)
    assert _gauge(lost, "failed") == _gauge(lost, "asked") == len(batch)
    assert encoded([(0, result)]) == encoded([(0, NetworkState().step(batch))])


def _empty(record: Any) -> Any:
    return type(record)(**{f: getattr(record, f) for f in record.__struct_fields__} | {"queue_depth": 0})


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("logarithm", [False, True])
def test_answers_do_not_depend_on_the_cut(logarithm: bool, seed: int) -> None:
    batch = samples_of(disturb(foretold(260, 5, empty=True)))
    content = sealed(informed(), logarithm=logarithm)
    whole = serving(content)
    assert run_cut(serving(content), batch, seed) == encoded([(0, whole.step(batch))])
    assert (_gauge(whole, "failed") > 0.0) == logarithm


def test_a_restored_state_asks_the_same_model(batch: Batch) -> None:
    shelf, state = Shelf(), NetworkState()
    announce(state, shelf, sealed(informed()))
    state.step(batch.take(0, 700))
    restored = NetworkState()
    for piece in state.capture(whole=True):
        restored.load(piece)
    restored.use(shelf)
    rest = batch.take(700, len(batch))
    assert encoded([(0, restored.step(rest))]) == encoded([(0, state.step(rest))])
    assert restored.digest() == state.digest()
    assert restored.wanted() == list(shelf)


def test_a_model_that_is_not_on_the_shelf_is_not_missed(batch: Batch, alone: Result) -> None:
    state = serving(sealed(informed()))
    state.use(Shelf())
    assert encoded([(0, state.step(batch))]) == encoded([(0, alone)])


def test_another_model_is_believed_for_what_it_does_itself(batch: Batch, alone: Result) -> None:
    shelf, state = Shelf(), NetworkState()
    announce(state, shelf, sealed(informed(), "good"))
    state.step(batch.take(0, 800))
    announce(state, shelf, sealed(misled(), "bad"))
    result = state.step(batch.take(800, len(batch)))
    assert _mae(result, 60) < 1.05 * _mae(alone, 800)
    scored_by = result.outputs[NETWORK_SCORE].columns["model_version"]
    assert f"{MODEL_VERSION}+good" in set(scored_by[:28])
    assert f"{MODEL_VERSION}+good" not in set(scored_by[40:])


def test_a_model_that_is_taken_back_is_asked_no_more(batch: Batch) -> None:
    shelf, state = Shelf(), NetworkState()
    content = sealed(informed())
    announce(state, shelf, content)
    state.step(batch.take(0, 800))
    announce(state, shelf, content, "retired")
    asked = _gauge(state, "asked")
    result = state.step(batch.take(800, len(batch)))
    assert _gauge(state, "asked") == asked
    assert set(_versions(result)) == {MODEL_VERSION}


def test_a_model_cannot_leave_a_targets_bounds() -> None:
    weight = weights()
    weight[:, 2] = 5.0
    result = serving(sealed(weight)).step(samples_of(network_stream(120, 2)))
    loss = np.asarray(result.outputs[NETWORK_FORECAST].columns["predicted_packet_loss"])
    assert ((loss >= 0.0) & (loss <= 1.0)).all()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"window": ENHANCED}, FeatureMismatch, "targets of ten"),
        ({"horizon_ms": 1_800_000}, ModelRejected, "1800000 ms ahead, asked are 900000"),
        ({"output": "score"}, ModelRejected, "no output 'forecast'"),
    ],
)
def test_models_that_a_worker_cannot_ask_are_refused(options: dict[str, Any], error: Any, says: str) -> None:
    content = sealed(weights(options.get("window", ENHANCED)) if "window" in options else weights(), **options)
    with pytest.raises(error, match=says):
        load_forecaster(content)


def test_effectiveness_is_actual_over_predicted_of_what_was_applied() -> None:
    state = NetworkState()
    rate = np.random.default_rng(0).uniform(90.0, 110.0, 200)
    result = state.step(samples_of([sample(START_MS + k * MINUTE_MS, rate=float(v)) for k, v in enumerate(rate)]))
    forecasts, scores = (result.outputs[topic].columns for topic in (NETWORK_FORECAST, NETWORK_SCORE))
    told = {
        (node, int(at)): (action, value)
        for node, at, action, value in zip(
            forecasts["node_id"], forecasts["prediction_time"], forecasts["amst_action"],
            forecasts["predicted_bandwidth_mbps"], strict=True,
        )
    }  # fmt: skip
    found = []
    for node, at, actual, effectiveness in zip(
        scores["node_id"], scores["prediction_time"], scores["actual"], scores["amst_effectiveness"], strict=True
    ):
        action, predicted = told[node, int(at)]
        assert np.isnan(effectiveness) == (action in ("skip", "hold"))
        if not np.isnan(effectiveness):
            assert effectiveness == pytest.approx(actual[0] / predicted, rel=1e-6)
            found.append(effectiveness)
    total, n = state.gauges()["amst_effectiveness"]
    assert n == len(found) > 20
    assert total == pytest.approx(sum(found))
