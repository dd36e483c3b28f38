"""Links at other horizons than 15 minutes: the same promises, on topics of their own."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from agents import network
from online_models.bandwidth.horizon import HorizonState
from online_models.bandwidth.quality import horizon_name
from online_models.bandwidth.state import NetworkState
from online_models.parts import Parts
from schemas.batch import Batch, Result
from schemas.codec import codec_of
from schemas.network import HORIZON_MS, Forecast, ForecastScore
from schemas.topic import NETWORK_FORECAST, NETWORK_HORIZON, NETWORK_HORIZON_SCORE, NETWORK_SCORE
from tests.online_models.stream import (
    MINUTE_MS,
    START_MS,
    disturb,
    encoded,
    lines,
    network_stream,
    run_cut,
    sample,
    samples_of,
)

MINUTES = (1, 5, 30, 60)
HORIZONS = tuple(minutes * MINUTE_MS for minutes in MINUTES)


@pytest.fixture(scope="module")
def batch() -> Batch:
    return samples_of(disturb(network_stream(minutes=260, links=5)))


def agent_state(*horizons: int) -> Parts:
    """What a worker keeps of a partition's links."""
    return network.agent.state(horizons=horizons)


def skill(result: Result, bar: str = "persistence_error") -> float:
    """Throughput's error over a bar's, of the second half of the scores."""
    columns = result.outputs[NETWORK_HORIZON_SCORE].columns
    error, least = (np.asarray(columns[name])[:, 0] for name in ("error", bar))
    half = len(error) // 2
    return float(error[half:].mean() / least[half:].mean())


@pytest.mark.parametrize("horizon_ms", HORIZONS)
@pytest.mark.parametrize("seed", [1, 2])
def test_results_do_not_depend_on_the_cut(horizon_ms: int, seed: int, batch: Batch) -> None:
    whole, cut = HorizonState(horizon_ms), HorizonState(horizon_ms)
    assert run_cut(cut, batch, seed) == encoded([(0, whole.step(batch))])
    assert cut.digest() == whole.digest()


@pytest.mark.parametrize("minutes", MINUTES)
def test_forecasts_name_their_horizon_and_are_scored_by_the_sample_at_its_end(minutes: int, batch: Batch) -> None:
    result = HorizonState(minutes * MINUTE_MS).step(batch)
    forecasts, rejected = codec_of(Forecast).decode(lines(NETWORK_HORIZON, result.outputs[NETWORK_HORIZON]))
    assert not rejected
    assert {one.target_time - one.prediction_time for one in forecasts} == {minutes * MINUTE_MS}
    assert {(one.amst_action, one.amst_reason) for one in forecasts} == {
        ("skip", "transport follows the forecast 15 minutes ahead")
    }
    scores, rejected = codec_of(ForecastScore).decode(
        lines(NETWORK_HORIZON_SCORE, result.outputs[NETWORK_HORIZON_SCORE])
    )
    assert not rejected
    assert {one.horizon_ms for one in scores} == {minutes * MINUTE_MS}
    assert all(abs(one.timestamp - one.prediction_time - minutes * MINUTE_MS) <= 30_000 for one in scores)
    asked = {(one.node_id, one.prediction_time) for one in forecasts}
    met = [(one.node_id, one.prediction_time) for one in scores]
    assert set(met) <= asked
    assert len(set(met)) == len(met) > 100
    assert {one.amst_effectiveness for one in scores} == {None}


@pytest.mark.parametrize("minutes", MINUTES)
def test_noise_around_a_level_is_not_followed(minutes: int) -> None:
    rate = np.random.default_rng(minutes).uniform(90.0, 110.0, 900)
    records = [sample(START_MS + k * MINUTE_MS, rate=float(value)) for k, value in enumerate(rate)]
    assert skill(HorizonState(minutes * MINUTE_MS).step(samples_of(records))) < 0.85  # sqrt(.5) at best


@pytest.mark.parametrize("minutes", MINUTES)
def test_a_random_walk_is_forecast_about_as_well_as_by_persistence(minutes: int) -> None:
    rate = 1000.0 + np.cumsum(np.random.default_rng(minutes).normal(size=2500))
    records = [sample(START_MS + k * MINUTE_MS, rate=float(value)) for k, value in enumerate(rate)]
    assert skill(HorizonState(minutes * MINUTE_MS).step(samples_of(records))) < 1.05


def test_fifteen_minutes_are_the_same_forecaster(batch: Batch) -> None:
    """One code, so one answer where it is asked the same."""
    own = HorizonState(HORIZON_MS).step(batch).outputs
    other = NetworkState().step(batch).outputs
    for mine, theirs in ((NETWORK_HORIZON, NETWORK_FORECAST), (NETWORK_HORIZON_SCORE, NETWORK_SCORE)):
        for name, column in other[theirs].columns.items():
            if not name.startswith("amst_"):
                np.testing.assert_array_equal(np.asarray(own[mine].columns[name]), np.asarray(column), name)


@pytest.mark.parametrize("period_min", [5, 7])
def test_a_horizon_shorter_than_the_links_period_is_forecast_and_never_scored(period_min: int) -> None:
    state = HorizonState(MINUTE_MS)
    result = state.step(samples_of([sample(START_MS + k * period_min * MINUTE_MS) for k in range(100)]))
    assert len(result.outputs[NETWORK_HORIZON].row) == 100
    assert NETWORK_HORIZON_SCORE not in result.outputs
    assert set(result.outputs[NETWORK_HORIZON].columns["confidence"]) == {0.5}


def test_a_worker_publishes_every_horizon_beside_the_contracts(batch: Batch) -> None:
    alone, several = agent_state().step(batch), agent_state(*HORIZONS).step(batch)
    for topic, output in alone.outputs.items():
        assert encoded([(0, Result({topic: output}))]) == encoded([(0, Result({topic: several.outputs[topic]}))])
    assert [r.row for r in several.rejected] == [r.row for r in alone.rejected]
    found = several.outputs[NETWORK_HORIZON]
    assert len(found.row) == len(MINUTES) * len(alone.outputs[NETWORK_FORECAST].row)
    made = list(zip(found.row.tolist(), found.suffix or (), strict=True))
    assert len(set(made)) == len(made)
    assert {suffix for _, suffix in made} == {horizon_name(horizon_ms) for horizon_ms in HORIZONS}
    assert set(alone.outputs) | {NETWORK_HORIZON, NETWORK_HORIZON_SCORE} == set(several.outputs)
    assert set(several.outputs) <= set(network.agent.publishes)


def test_it_is_captured_restored_and_undone_with_the_rest(batch: Batch) -> None:
    third = len(batch) // 3
    state = agent_state(*HORIZONS)
    state.step(batch.take(0, third))
    first = state.capture(whole=True)
    state.step(batch.take(third, 2 * third))
    restored = agent_state(*HORIZONS)
    for piece in chain(first, state.capture()):
        restored.load(piece)
    assert restored.digest() == state.digest()
    rest = batch.take(2 * third, len(batch))
    one = rest.take(0, 1)
    undo = restored.checkpoint(one.key)
    restored.step(one)
    assert restored.digest() != state.digest()
    restored.rollback(undo)
    assert encoded([(0, restored.step(rest))]) == encoded([(0, state.step(rest))])
    assert restored.digest() == state.digest()


@pytest.mark.parametrize(
    ("before", "after"),
    [((), HORIZONS), (HORIZONS, ()), (HORIZONS[:2], HORIZONS[1:]), (HORIZONS, HORIZONS[2:])],
    ids=["on", "off", "others", "fewer"],
)
def test_a_restart_with_other_horizons_keeps_what_both_have(
    before: tuple[int, ...], after: tuple[int, ...], batch: Batch
) -> None:
    """What stays goes on bit for bit, what is new begins with the next record, and its snapshots stand alone."""
    third = len(batch) // 3
    state = agent_state(*before)
    state.step(batch.take(0, third))
    pieces = list(state.capture(whole=True))
    changed = agent_state(*after)
    for piece in pieces:
        changed.load(piece)
    for name, part in changed.parts.items():
        fresh = agent_state(*after).parts[name]
        assert part.digest() == state.parts.get(name, fresh).digest()
    result = changed.step(batch.take(third, 2 * third))
    said = result.outputs.get(NETWORK_HORIZON)
    assert (0 if said is None else len(said.row)) == len(after) * len(result.outputs[NETWORK_FORECAST].row)
    pieces += changed.capture()
    restored = agent_state(*after)
    for piece in pieces:
        restored.load(piece)
    assert restored.digest() == changed.digest()


def test_a_late_sample_is_not_forecast_by_a_part_that_does_not_know_its_link(batch: Batch) -> None:
    state = agent_state()
    state.step(samples_of([sample(START_MS + 60 * MINUTE_MS)]))
    asked = agent_state(*HORIZONS)
    for piece in state.capture(whole=True):
        asked.load(piece)
    late, fresh = sample(START_MS), sample(START_MS + 61 * MINUTE_MS)
    result = asked.step(samples_of([late, fresh, late, fresh]))
    assert [one.row for one in result.rejected] == [0, 2]
    assert result.outputs[NETWORK_HORIZON].row.tolist() == [1] * 4 + [3] * 4


def test_metrics_are_by_horizon_type_and_target_and_are_the_scores_means(batch: Batch) -> None:
    state = HorizonState(5 * MINUTE_MS)
    columns = state.step(batch).outputs[NETWORK_HORIZON_SCORE].columns
    gauges = state.gauges()
    of_type = np.asarray(columns["link_type"]) == "wan"
    error, actual, mean, covered = (
        np.asarray(columns[name])[of_type, 1] for name in ("error", "actual", "moving_average_error", "covered")
    )
    expected = {
        "mae": error.mean(), "mape": (error / actual).mean(), "coverage": covered.mean(),
    }  # fmt: skip
    for name, value in expected.items():
        above, below = gauges[f"link_forecast_{name}{{horizon=5min,link_type=wan,target=rtt_ms}}"]
        assert above / below == pytest.approx(value)
    labels = "{against=moving_average,horizon=5min,link_type=wan,target=rtt_ms}"
    above, below = gauges[f"link_forecast_skill{labels}"]
    assert above / below == pytest.approx(1.0 - error.mean() / mean.mean())
    assert gauges["link_forecast_scored{horizon=5min,link_type=wan}"] == (float(of_type.sum()), None)
    assert gauges["link_forecast_expert_ratio{expert=persistence,horizon=5min}"][0] > 0


def test_every_expert_is_scored_on_what_came() -> None:
    """Around a level that stands still, steadier levels miss less, and persistence most."""
    rate = np.random.default_rng(0).normal(500.0, 20.0, 1500)
    state = NetworkState()
    state.step(samples_of([sample(START_MS + k * MINUTE_MS, rate=float(value)) for k, value in enumerate(rate)]))
    found = {
        expert: above / below
        for expert in ("persistence", "quick", "smooth", "slow", "steady", "moving_average")
        for above, below in [state.gauges()[f"link_forecast_expert_ratio{{expert={expert},horizon=15min}}"]]
    }
    assert found["persistence"] == 1.0
    for expert in ("smooth", "slow", "steady"):
        assert found[expert] == pytest.approx(np.sqrt(0.5), abs=0.02)
    assert found["moving_average"] == pytest.approx(np.sqrt(0.55), abs=0.05)
    assert 0.7 < found["quick"] < 0.8


def test_warm_compiles_what_a_step_needs() -> None:
    HorizonState.warm()
    assert HorizonState(MINUTE_MS).gauges()["link_forecast_expert_ratio{expert=holt,horizon=1min}"] == (0.0, 0.0)
