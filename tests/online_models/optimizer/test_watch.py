"""The state of 35: what a recommendation says was seen of the nodes, and what triggers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from online_models.optimizer.space import DEFAULT, MAXIMUM, MINIMUM, N_STATE, STATE
from online_models.optimizer.state import NODE, OptimizerState
from online_models.optimizer.watch import (
    MAX_AGE_MS,
    MINUTE,
    SETTLE_MS,
    WATCHED,
    Progress,
    close_node_minutes,
    make_state,
    triggered,
)
from schemas.optimizer import OPTIMIZER_TRIGGERS, OptimizerRecommendation, OptimizerRollout
from schemas.topic import OPTIMIZER_RECOMMENDATION
from tests.online_models.optimizer.fleet import asked, live, minute_of, records_of, request
from tests.online_models.stream import metrics_of

USUAL = dict(zip(WATCHED, (130.0, 290.0, 2850.0, 0.3, 45.0, 50.0, 40.0, 3.5, 70.0, 45.0, 2800.0), strict=True))


def nodes(*, lately: dict[str, float] | None = None, minutes: int = 120) -> np.ndarray[Any, Any]:
    """Two nodes for so long, the last five minutes otherwise."""
    rows = np.zeros(2, NODE)
    for minute in range(minutes):
        values = USUAL | (lately or {} if minute >= minutes - 5 else {})
        rows["n"], rows["total"] = 1, list(values.values())
        close_node_minutes(rows)
        if minute == 60:
            rows["base"] = rows["slow"]
    return rows


def seen(rows: np.ndarray[Any, Any], progress: Progress = Progress()) -> dict[str, float]:  # noqa: B008
    return dict(zip(STATE, make_state(rows, DEFAULT, progress).tolist(), strict=True))


def test_where_nothing_changes_only_shares_and_parameters_are_not_zero() -> None:
    state = seen(nodes())
    assert len(state) == N_STATE == 35
    assert state["level_cpu_usage"] == pytest.approx(45 / 85)
    assert state["level_memory_usage"] == pytest.approx(50 / 80)
    assert state["parameter_hde_compression_level"] == 0.5
    named = {"level_cpu_usage", "level_memory_usage"} | {n for n in STATE if n.startswith("parameter_")}
    assert all(abs(value) < 1e-9 for name, value in state.items() if name not in named)


@pytest.mark.parametrize(
    ("metric", "factor", "expected"),
    [
        ("latency_mean", 2.0, {"level_latency_mean": 1.0, "performance_hde": -0.5, "performance": -1 / 6}),
        ("throughput_mean", 2.0, {"level_throughput_mean": 1.0, "performance_hde": 0.5}),
        ("network_io", 2.0, {"level_network_io": 1.0, "cost": 0.5, "performance": 0.0}),
        ("consensus_time", 0.5, {"level_consensus_time": -1.0, "performance_acp": 1.0}),
        ("prediction_accuracy", 0.5, {"level_prediction_accuracy": -1.0, "performance_pba": -1.0}),
        ("compression_ratio", 2.0, {"level_compression_ratio": 1.0, "performance": 0.0}),
    ],
)
def test_a_metric_shows_in_its_own_numbers(metric: str, factor: float, expected: dict[str, float]) -> None:
    """In units of log 2, as the mean of the last five minutes has not forgotten all that was before."""
    rows = nodes(lately={metric: factor * USUAL[metric]})
    lately = np.log(rows["fast"][0, WATCHED.index(metric)] / USUAL[metric]) / np.log(factor)
    assert 0.5 < lately < 1.0
    state = seen(rows)
    share = {name: value * lately * np.log(2.0) for name, value in expected.items()}
    assert {name: state[name] for name in expected} == pytest.approx(share, abs=1e-6)


def test_how_tuning_went_is_seen() -> None:
    state = seen(nodes(), Progress(0.2, 0.1, 10, 5, 36 * 3_600_000))
    assert [state[n] for n in STATE[-5:]] == [0.2, 0.1, 0.5, 0.25, 1.5]


@pytest.mark.parametrize(
    ("lately", "since_ms", "trigger"),
    [
        ({}, SETTLE_MS, ""),
        ({"throughput_mean": 1500.0}, SETTLE_MS, "performance"),
        ({"throughput_mean": 1500.0}, SETTLE_MS - 1, ""),
        ({"request_rate": 5000.0}, SETTLE_MS, "traffic"),
        ({"request_rate": 1500.0}, SETTLE_MS, "traffic"),
        ({}, MAX_AGE_MS, "age"),
    ],
)
def test_triggers_are_read_from_the_state(lately: dict[str, float], since_ms: int, trigger: str) -> None:
    state = make_state(nodes(lately=lately), DEFAULT, Progress())
    found = triggered(state, since_ms)
    assert (OPTIMIZER_TRIGGERS[found] if found >= 0 else "") == trigger


@pytest.mark.parametrize("seed", range(4))
def test_whatever_nodes_report_the_state_is_finite_and_bounded(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = np.zeros(5, NODE)
    for name, *_ in MINUTE[-4:]:
        rows[name] = np.exp(rng.normal(0.0, 8.0, rows[name].shape)) * (rng.random(rows[name].shape) < 0.8)
    state = make_state(rows, rng.uniform(MINIMUM, MAXIMUM), Progress(9.0, -9.0, 500, 400, 10**12))
    assert np.isfinite(state).all()
    assert (np.abs(state) <= 5.0).all()


def test_a_recommendation_says_what_was_seen_and_told() -> None:
    state: OptimizerState = asked()
    made = [r for r in live(state, range(220), 1.5) if isinstance(r, OptimizerRecommendation)]
    state.control(request(**_in_force(state)))
    made += [r for r in live(state, range(220, 330), 1.0) if isinstance(r, OptimizerRecommendation)]
    first, later = made[0], made[-1]
    for one in (first, later):
        assert list(one.state) == list(STATE)
        assert one.state["level_cpu_usage"] == pytest.approx(58.2 / 85, abs=0.01)
    assert first.state["trials_used"] == 0
    assert first.state["hours_since_change"] == 0.0
    assert first.state["performance"] == pytest.approx(0.0, abs=0.05)
    # A change was kept: performance was half the logarithm of the throughput, of one system of three.
    assert later.state["trials_used"] == 1 / 20
    assert later.state["last_reward"] == pytest.approx(np.log(1.5) / 6, abs=0.02)
    assert later.state["best_performance"] == pytest.approx(np.log(1.5) / 6, abs=0.02)
    assert 0.0 < later.state["hours_since_change"] < 0.2
    systems = {next(c.parameter[:3] for c in one.changes) for one in made if one.changes}
    told = {name for one in made for name in one.context}
    assert told <= {"log_requests_per_s", "log_performance"}
    assert bool(told) == ("acp" in systems)


def test_what_was_seen_does_not_depend_on_a_request() -> None:
    state = asked()
    list(live(state, range(70), 0.7))
    found = []
    for minute in range(70, 260):
        rate = 2800.0 if minute < 220 else 5600.0
        batch = metrics_of([replace(one, request_rate=rate) for one in minute_of(minute, {})])
        found += records_of(state.step(batch), OPTIMIZER_RECOMMENDATION)
    assert found[-1].trigger == "traffic"
    assert found[-1].state["trend_request_rate"] > np.log(1.3)


def test_a_rollout_that_is_dearer_than_allowed_is_taken_back() -> None:
    """Half as much traffic again costs 22 % more by traffic and processor time together; 10 % are allowed."""
    made = [r for r in live(asked(), range(70), 1.5, traffic=1.5) if isinstance(r, OptimizerRollout)]
    assert [r.status for r in made[:2]] == ["running", "rolled_back"]
    assert "cost +22" in made[1].reason
    assert "> +9.8 %" in made[1].reason
    assert made[1].cost_effect_pct == pytest.approx(22.5, abs=1.0)
    assert made[1].effect_pct is not None
    assert made[1].effect_pct > 0.0


def test_what_changes_cost_adds_up_over_rollouts() -> None:
    """One change that costs 7 % more is kept, another one that does is not: together they would be over the limit."""
    state, dear = asked(), 1.07**2
    ends = []
    for n in range(2):
        minutes = range(180 * n, 180 * n + 180)
        made = [r for r in live(state, minutes, 1.5, traffic=dear) if isinstance(r, OptimizerRollout)]
        ends.append(next(r for r in made if r.status in ("completed", "rolled_back")))
        state.control(request(**_in_force(state)))
    assert [r.status for r in ends] == ["completed", "rolled_back"]
    assert "over a limit: cost" in ends[1].reason
    assert state._tuner["spent"][0] == pytest.approx(np.log(1.07), abs=0.01)


def _in_force(state: OptimizerState) -> dict[str, float]:
    return dict(zip((n.removeprefix("parameter_") for n in STATE[:9]), state._tuner["values"][0].tolist(), strict=True))
