"""Types, severities, baselines and calibration of the anomaly detector."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from online_models.anomaly.calibration import EXCURSION, RANGE, calibrate
from online_models.anomaly.rule import ACTIONS, SEVERITIES, TYPES, severity_of, top_contributors, type_of
from online_models.anomaly.state import SystemState
from schemas.batch import Output
from schemas.system import METRICS
from schemas.topic import DRIFT_ALERT, SYSTEM_ANOMALY, SYSTEM_SCORE
from tests.online_models.stream import NORMAL, START_MS, metric_stream, metrics, metrics_of

MEAN = np.array([NORMAL[name] for name in METRICS])


def _type(**z: float) -> str:
    deviation = np.array([z.get(name, 0.0) for name in METRICS])
    x = MEAN * (1.0 + 0.2 * deviation)
    return TYPES[type_of(deviation, x, MEAN)]


@pytest.mark.parametrize(
    ("z", "expected"),
    [
        ({"latency_mean": 3.1}, "latency_spike"),
        ({"latency_p99": 3.1}, "latency_spike"),
        ({"latency_mean": 2.9}, "unknown"),
        ({"latency_mean": -9.0}, "unknown"),
        ({"throughput_mean": -3.1}, "throughput_drop"),
        ({"throughput_mean": 3.1}, "unknown"),
        ({"error_rate": 2.1}, "error_burst"),
        ({"error_rate": -2.1}, "unknown"),
        ({"cpu_usage": 2.6}, "resource_exhaustion"),
        ({"memory_usage": 2.6}, "resource_exhaustion"),
        ({"cpu_usage": 2.2}, "unknown"),
        ({"compression_ratio": -2.1}, "compression_failure"),
        ({"compression_ratio": 2.1}, "unknown"),
        ({"prediction_accuracy": -2.1}, "prediction_error"),
        ({"prediction_accuracy": 2.1}, "unknown"),
        ({"consensus_time": 2.1}, "consensus_delay"),
        ({"consensus_time": -2.1}, "unknown"),
        ({"consensus_time": 9.0, "error_rate": 2.1}, "error_burst"),
        ({}, "unknown"),
    ],
)
def test_rules_look_at_the_side_that_hurts_and_keep_their_order(z: dict[str, float], expected: str) -> None:
    assert _type(**z) == expected


def test_a_throughput_drop_must_also_be_large() -> None:
    deviation = np.zeros(len(METRICS))
    deviation[METRICS.index("throughput_mean")] = -5.0
    assert TYPES[type_of(deviation, 0.71 * MEAN, MEAN)] == "unknown"
    assert TYPES[type_of(deviation, 0.69 * MEAN, MEAN)] == "throughput_drop"


@pytest.mark.parametrize(
    ("score", "latency", "expected"),
    [
        (0.49, 100.0, "low"),
        (0.5, 100.0, "medium"),
        (0.7, 100.0, "high"),
        (0.9, 100.0, "critical"),
        (0.1, 1000.0, "critical"),
        (0.1, 999.9, "low"),
    ],
)
def test_severity(score: float, latency: float, expected: str) -> None:
    assert SEVERITIES[severity_of(score, latency)] == expected


def test_every_type_has_actions() -> None:
    assert set(ACTIONS) == set(TYPES)


def test_top_contributors_are_the_five_most_harmful() -> None:
    z = np.zeros(len(METRICS))
    z[METRICS.index("compression_ratio")] = -8.0
    z[METRICS.index("latency_mean")] = 5.0
    z[METRICS.index("prediction_accuracy")] = 9.0
    assert top_contributors(z)[:2] == ["compression_ratio", "latency_mean"]
    assert len(top_contributors(z)) == 5


def _fault(at: int = 400, length: int = 4, **factors: float) -> tuple[Output, int]:
    """Announcements when one of four nodes goes wrong at a step, and the time it does."""
    start = START_MS + 5000 * at
    records = []
    for r in metric_stream(500, 4):
        if r.node_id == "n2" and start <= r.timestamp < start + 5000 * length:
            fields = {name: getattr(r, name) * factors.get(name, 1.0) for name in METRICS}
            r = metrics(r.timestamp, "n2", **fields)
        records.append(r)
    return SystemState().step(metrics_of(records)).outputs[SYSTEM_ANOMALY], start


@pytest.mark.parametrize(
    ("factors", "expected"),
    [
        ({"latency_mean": 3.0}, "latency_spike"),
        ({"throughput_mean": 0.3}, "throughput_drop"),
        ({"error_rate": 6.0}, "error_burst"),
        ({"cpu_usage": 1.7}, "resource_exhaustion"),
        ({"compression_ratio": 0.3}, "compression_failure"),
        ({"prediction_accuracy": 0.4}, "prediction_error"),
        ({"consensus_time": 3.0}, "consensus_delay"),
    ],
)
def test_a_fault_is_announced_at_its_first_record_with_its_type(factors: dict[str, float], expected: str) -> None:
    found, start = _fault(**factors)
    columns = found.columns
    first = [at for at, t in enumerate(columns["timestamp"]) if t == start and columns["node_id"][at] == "n2"]
    assert [columns["anomaly_type"][at] for at in first] == [expected]
    at = first[0]
    metric = next(iter(factors))
    assert columns["top_contributing_features"][at][0] == metric
    compared = columns["baseline_comparison"][at][metric]
    assert compared.baseline_mean == pytest.approx(NORMAL[metric], rel=0.1)
    assert compared.deviation_pct == pytest.approx(100.0 * (factors[metric] - 1.0), rel=0.25)
    assert np.sign(compared.z_score) == np.sign(compared.deviation_pct)
    assert columns["metrics"][at][metric] == compared.current


@pytest.mark.parametrize(("length", "expected"), [(55, [(0, "open")]), (75, [(0, "open"), (300_000, "update")])])
def test_an_episode_is_one_alert_repeated_every_five_minutes(length: int, expected: list[tuple[int, str]]) -> None:
    found, start = _fault(length=length, latency_mean=3.0)
    columns = found.columns
    rows = zip(columns["node_id"], columns["timestamp"].tolist(), columns["status"], strict=True)
    assert [(at - start, status) for node, at, status in rows if node == "n2"] == expected


def test_what_gets_worse_is_announced_again() -> None:
    calm = [metrics(START_MS + 5000 * k, latency_mean=127.4 + 10.0 * (k % 2)) for k in range(400)]
    state = SystemState()
    state.step(metrics_of(calm))
    announced = []
    for k, latency in enumerate((175.0, 176.0, 900.0, 901.0)):
        result = state.step(metrics_of([metrics(START_MS + 5000 * (400 + k), latency_mean=latency)]))
        announced.append(SYSTEM_ANOMALY in result.outputs)
    assert announced == [True, False, True, False]


def test_false_alarms_stay_near_their_budget_on_calm_nodes() -> None:
    state = SystemState()
    result = state.step(metrics_of(metric_stream(steps=3000, nodes=10)))
    node_days = 10 * 3000 * 5 / 86_400
    announced = result.outputs.get(SYSTEM_ANOMALY)
    assert (0 if announced is None else len(announced.row)) <= 6 * node_days
    assert DRIFT_ALERT not in result.outputs


@pytest.mark.parametrize("steps", [1, 59, 60])
def test_a_new_node_is_not_judged(steps: int) -> None:
    records = [metrics(START_MS + 5000 * k, latency_mean=100.0 * (k + 1)) for k in range(steps)]
    scores = SystemState().step(metrics_of(records)).outputs[SYSTEM_SCORE].columns
    assert set(scores["detection_method"]) == {"warm_up"}
    assert not np.asarray(scores["is_anomaly"]).any()


def test_a_short_incident_hardly_moves_the_baseline() -> None:
    state = SystemState()
    state.step(metrics_of([metrics(START_MS + 5000 * k, latency_mean=120.0 + k % 7) for k in range(400)]))
    state.step(metrics_of([metrics(START_MS + 5000 * (400 + k), latency_mean=2000.0) for k in range(12)]))
    result = state.step(metrics_of([metrics(START_MS + 5000 * 412, latency_mean=2000.0)]))
    scores: dict[str, Any] = dict(result.outputs[SYSTEM_SCORE].columns)
    assert scores["is_anomaly"][0]
    after = state.step(metrics_of([metrics(START_MS + 5000 * 413, latency_mean=123.0)]))
    assert not after.outputs[SYSTEM_SCORE].columns["is_anomaly"][0]


@pytest.mark.parametrize("target", [4.0, 8.0])
def test_thresholds_settle_where_near_alarms_come_at_the_budgeted_rate(target: float) -> None:
    """Statistics with an exponential tail that crosses `target` once per two days."""
    rng = np.random.default_rng(0)
    per_two_days = 2 * 17_280
    rate = np.log(per_two_days) / target
    threshold = np.array([5.0, 5.0])
    node = np.zeros(1, np.dtype(list(EXCURSION)))[0]
    seen = []
    for statistic in rng.exponential(1.0 / rate, size=60 * per_two_days // 10):
        calibrate(threshold, 0, statistic, node, 5000.0, 0.5)
        seen.append(threshold[0])
    assert np.mean(seen[-len(seen) // 2 :]) == pytest.approx(max(target, RANGE[0]), rel=0.25)
    assert threshold[1] == 5.0
