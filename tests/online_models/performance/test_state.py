"""Features and predictions of nodes: independent of the cut, restorable, right about what they say."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from online_models import logistic
from online_models.arrival import LATENESS_MS
from online_models.performance.input import INPUT_NAMES
from online_models.performance.model import BREACH, close_breach, learn_breach, new_breach, open_breach
from online_models.performance.record import ACTIONS, recommend
from online_models.performance.state import MODEL_NAME, MODEL_VERSION, PUBLISH_MS, PerformanceState
from schemas.batch import Control
from schemas.error import ConfigError, ModelError
from schemas.performance import PERFORMANCE_FEATURES as NAMES
from schemas.performance import DegradationPrediction, PerformanceFeatures
from schemas.system import METRICS
from schemas.topic import PERFORMANCE_FEATURES, PERFORMANCE_PREDICTION
from tests.online_models.stream import START_MS, disturb, encoded, metric_stream, metrics, metrics_of, run_cut


def _stream() -> Any:
    return metrics_of(disturb(metric_stream(steps=200, nodes=5)))


def _decode(state: PerformanceState, batch: Any, topic: Any) -> list[Any]:
    found = encoded([(0, state.step(batch))]).get(topic.name, [])
    return [msgspec.json.decode(line, type=topic.record) for _, line in found]


def _waves(steps: int, objective: float = 200.0) -> Any:
    """One node whose latency climbs over the objective every five minutes, and falls again."""
    rng = np.random.default_rng(4)
    level = objective - 60 + 90 * np.maximum(np.sin(2 * np.pi * np.arange(steps) / 60), 0.0)
    return metrics_of(
        [metrics(START_MS + 5000 * k, latency_mean=float(v + rng.normal(0, 2))) for k, v in enumerate(level)]
    )


@pytest.mark.parametrize("seed", [1, 2])
def test_results_do_not_depend_on_the_cut(seed: int) -> None:
    batch = _stream()
    whole = encoded([(0, PerformanceState(period_ms=60_000).step(batch))])
    assert len(whole[PERFORMANCE_FEATURES.name]) > 64  # the room for features was full at least once
    assert run_cut(PerformanceState(period_ms=60_000), batch, seed) == whole


def test_captures_restore_the_state_bit_for_bit() -> None:
    batch = _stream()
    half = len(batch) // 2
    fed, copy = PerformanceState(), PerformanceState()
    for first, end in ((0, half // 3), (half // 3, half)):
        fed.step(batch.take(first, end))
        for piece in fed.capture():
            copy.load(piece)
    assert copy.digest() == fed.digest()
    rest = batch.take(half, len(batch))
    assert encoded([(0, copy.step(rest))]) == encoded([(0, fed.step(rest))])


def test_a_repeated_batch_says_nothing_and_changes_no_node() -> None:
    batch, fed = _stream(), PerformanceState()
    fed.step(batch)
    before = fed._table.rows.tobytes()
    assert not fed.step(batch).outputs
    assert fed._table.rows.tobytes() == before


def test_late_records_are_rejected_and_counted() -> None:
    batch, fed = _stream(), PerformanceState()
    result = fed.step(batch)
    gauges = {name: value for name, (value, _) in fed.gauges().items()}
    assert gauges["performance_late"] == len(result.rejected) > 0
    assert gauges["performance_records"] == len(batch)
    assert gauges["performance_features"] == len(result.outputs[PERFORMANCE_FEATURES].row)
    assert gauges["performance_predictions"] == len(result.outputs[PERFORMANCE_PREDICTION].row)
    assert gauges["performance_scored"] > 0


@pytest.mark.parametrize("behind_ms", [0, 1, LATENESS_MS, LATENESS_MS + 1])
def test_what_is_not_ahead_of_the_clock_changes_nothing(behind_ms: int) -> None:
    records = metric_stream(steps=40, nodes=1)
    behind = msgspec.structs.replace(records[-1], timestamp=records[-1].timestamp - behind_ms, latency_mean=9999.0)
    fed = PerformanceState()
    fed.step(metrics_of(records))
    before = fed._table.rows.tobytes()
    fed.step(metrics_of([behind]))
    assert fed._table.rows.tobytes() == before


def test_features_come_each_period_of_every_metric() -> None:
    found: list[PerformanceFeatures] = _decode(
        PerformanceState(period_ms=60_000), metrics_of(metric_stream(steps=61, nodes=1)), PERFORMANCE_FEATURES
    )
    assert [(f.timestamp - START_MS) // 60_000 for f in found] == [1, 2, 3, 4, 5]
    assert [f.samples for f in found] == [13, 25, 37, 49, 61]
    assert list(found[-1].features) == list(METRICS)
    assert {len(one) for one in found[-1].features.values()} == {len(NAMES)}


def test_features_are_of_the_node_s_own_samples() -> None:
    records = metric_stream(steps=61, nodes=3)
    found = _decode(PerformanceState(period_ms=60_000), metrics_of(records), PERFORMANCE_FEATURES)
    for one in found:
        cpu = np.float32([r.cpu_usage for r in records if r.node_id == one.node_id and r.timestamp <= one.timestamp])
        said = dict(zip(NAMES, one.features["cpu_usage"], strict=True))
        assert said["mean"] == pytest.approx(cpu.mean(), rel=1e-6)
        assert said["q95"] == pytest.approx(np.quantile(cpu, 0.95), rel=1e-6)
        assert said["lag_1"] == cpu[-2]


def test_minutes_since_a_spike_count_on_after_it_left_the_window() -> None:
    records = [metrics(START_MS + 5000 * k, cpu_usage=95.0 if k == 30 else 40.0 + k % 3) for k in range(241)]
    found = _decode(PerformanceState(period_ms=60_000), metrics_of(records), PERFORMANCE_FEATURES)
    at = NAMES.index("minutes_since_spike")
    said = [f.features["cpu_usage"][at] for f in found]
    assert said[:2] == [1.0, 2.0]  # none yet: since the first sample
    assert said[-1] == pytest.approx(20 - 2.5)


def test_predictions_lie_back_to_back_or_come_with_an_alarm() -> None:
    found: list[DegradationPrediction] = _decode(PerformanceState(), _waves(900), PERFORMANCE_PREDICTION)
    gap = np.diff([p.timestamp for p in found])
    early = [p for p, g in zip(found[1:], gap, strict=True) if g < PUBLISH_MS]
    assert gap.max() == PUBLISH_MS
    assert early
    assert all(p.degradation_probability >= 0.5 for p in early)
    for p in found:
        assert (p.target_time, p.step_ms) == (p.timestamp + 25_000, 5000)
        assert len(p.predicted_metrics["latency_mean"]) == 5
        assert set(p.top_contributing_features) <= set(INPUT_NAMES)
        assert bool(p.recommendations) == (p.degradation_probability >= 0.5)


def test_it_learns_when_the_objective_breaks() -> None:
    fed = PerformanceState()
    batch = _waves(3000)
    found = _decode(fed, batch, PERFORMANCE_PREDICTION)
    latency = batch.columns["latency_mean"]
    later = [p for p in found if p.timestamp > START_MS + 5000 * 1500 and p.target_time <= START_MS + 5000 * 2999]
    at = np.array([(p.timestamp - START_MS) // 5000 for p in later])
    breach = np.array([(latency[k + 1 : k + 6] > 200.0).any() for k in at])
    said = np.array([p.degradation_probability for p in later])
    assert ((said >= 0.5) == breach).mean() > 0.9
    assert ((said - breach) ** 2).mean() < 0.5 * breach.mean() * (1 - breach.mean())
    gauges = fed.gauges()
    assert gauges["performance_change_error"][0] < gauges["performance_change_error_persistence"][0]
    assert later[-1].confidence > 0.5


def test_breaches_are_learned_as_the_logistic_regression_does_to_the_bit() -> None:
    rng = np.random.default_rng(0)
    fast, plain = new_breach(INPUT_NAMES), new_breach(INPUT_NAMES)
    work = np.zeros((len(BREACH), len(INPUT_NAMES)))
    open_breach(fast.state, work)
    for _ in range(300):
        x = np.where(np.arange(len(INPUT_NAMES)) % 7 == 0, 0.5, rng.normal(size=len(INPUT_NAMES)))
        logistic.learn(plain.state, plain.intercept, x, int(x[1] > 1), 0.3)
        learn_breach(fast.state, fast.intercept, work, x, int(x[1] > 1), 0.3)
    close_breach(fast.state, work)
    assert fast.state.tobytes() == plain.state.tobytes()
    assert fast.intercept == plain.intercept


def test_no_prediction_is_scored_across_a_gap() -> None:
    records = metric_stream(steps=30, nodes=1)
    far = [msgspec.structs.replace(r, timestamp=r.timestamp + 3_600_000) for r in records]
    fed = PerformanceState()
    fed.step(metrics_of(records + far))
    # of each half, the first 11 are too few to predict from and the last 5 have no horizon; the far half is warm
    assert fed.gauges()["performance_scored"][0] == (30 - 11 - 5) + (30 - 5)


class _Answers:
    """A trained model that always says the same, or fails."""

    def __init__(self, fails: bool) -> None:
        self.fails = fails
        self.manifest = type("Manifest", (), {"model_version": "trained-1"})()

    def predict(self, x: Any) -> dict[str, Any]:
        if self.fails:
            raise ModelError("it fails")
        return {"probability": np.full((len(x), 1), 0.75), "change": np.zeros((len(x), 5))}


@pytest.mark.parametrize(("fails", "version"), [(False, "trained-1"), (True, MODEL_VERSION)])
def test_a_champion_answers_and_the_online_model_stands_in(fails: bool, version: str) -> None:
    fed = PerformanceState()
    fed.use({"a" * 64: _Answers(fails)})  # type: ignore[arg-type]
    fed._champion.memory[0] = (b"trained-1", b"a" * 64)
    fed._champion.rebuild()
    found = _decode(fed, metrics_of(metric_stream(steps=30, nodes=1)), PERFORMANCE_PREDICTION)
    assert {(p.model_name, p.model_version) for p in found} == {(MODEL_NAME, version)}
    if not fails:
        assert {p.degradation_probability for p in found} == {0.75}


def test_other_models_announcements_are_passed_over() -> None:
    fed = PerformanceState()
    assert not fed.control(Control("system.feedback", b"{}", b"t/0/1", 0, 0)).outputs
    assert fed.wanted() == []


@pytest.mark.parametrize("metric", METRICS)
def test_every_metric_has_an_action(metric: str) -> None:
    assert recommend([f"{metric}:current"])[0] in ACTIONS.values()


@pytest.mark.parametrize("options", [{"window": 10}, {"objective_ms": 0.0}])
def test_what_cannot_work_is_said_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        PerformanceState(**options)


def test_bytes_per_node() -> None:
    assert PerformanceState().bytes_per_node == 12_136


def test_warm_runs() -> None:
    PerformanceState.warm()
