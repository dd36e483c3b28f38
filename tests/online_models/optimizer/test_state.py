"""The optimizer in the stream: asked, it recommends; a good change is rolled out, a bad one taken back."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest

from offline.optimizer.grid import load_grids
from online_models.optimizer.prior import Prior
from online_models.optimizer.space import DEFAULT, GROUPS
from online_models.optimizer.state import OptimizerState, Optimizing, check_request
from schemas.batch import Batch, Control
from schemas.error import ModelRejected, ValidationError
from schemas.optimizer import PARAMETERS, OptimizerRecommendation, OptimizerRequest, OptimizerRollout
from schemas.topic import OPTIMIZER_RECOMMENDATION, OPTIMIZER_REQUEST, OPTIMIZER_ROLLOUT
from tests.online_models.optimizer.fleet import asked, live, minute_of, priors, records_of, request
from tests.online_models.stream import START_MS, cuts, metrics_of


def test_a_request_is_answered_once_there_is_history() -> None:
    state = asked()
    found = [r for r in live(state, range(45), 1.0) if isinstance(r, OptimizerRecommendation)]
    assert len(found) == 1
    assert found[0].request_id == "r-1"
    assert found[0].scope == "fleet/0"
    assert found[0].trigger == "operator"
    assert found[0].improvement_lower_pct <= found[0].improvement_pct <= found[0].improvement_upper_pct
    by_name = {p.name: p for p in PARAMETERS}
    assert found[0].changes
    for change in found[0].changes:
        assert by_name[change.parameter].allows(change.after)
        assert change.sensitivity is not None
    assert {c.constraint for c in found[0].constraints} == {"memory", "cpu", "cost_increase"}


def test_nothing_is_said_unasked_or_without_priors() -> None:
    assert not list(live(Optimizing(priors())(), range(45), 1.0))
    unknowing = OptimizerState()
    unknowing.control(request())
    assert not list(live(unknowing, range(45), 1.0))


def test_a_good_change_is_rolled_out_and_kept() -> None:
    state = asked()
    rollouts = [r for r in live(state, range(280), 1.5) if isinstance(r, OptimizerRollout)]
    first = [r for r in rollouts if r.rollout_id == rollouts[0].rollout_id]
    assert [r.status for r in first] == ["running", "advanced", "advanced", "advanced", "completed"]
    assert all(r.p_value is not None and r.p_value < 0.001 for r in first[1:4])
    kept = dict(zip((p.name for p in PARAMETERS), state._tuner["values"][0].tolist(), strict=True))
    for change in first[-1].changes:
        assert change.before != change.after
        assert kept[change.parameter] == change.after
    assert state.gauges()["optimizer_rollouts_completed"][0] == 1


def test_a_completed_rollout_is_a_trial_at_once() -> None:
    state = asked()
    for record in live(state, range(160), 1.5):
        if isinstance(record, OptimizerRollout) and record.status == "completed":
            break
    group = int(state._tuner["group"][0])
    assert state._tuner["trials"][0][group] == 2
    setting, seen = state._tuner["setting"][0][group], state._tuner["seen"][0][group]
    assert setting[1] == state._tuner["chosen"][0] != setting[0]
    # All that the nodes gained is the tuned system's: here half the logarithm of their throughput.
    assert seen[1, 0] - seen[0, 0] == pytest.approx(0.5 * np.log(1.5), abs=0.02)


def test_a_rollout_keeps_the_limits_of_its_request() -> None:
    state = asked()
    state._tuner["limits"] = 80.0, 55.0, 10.0  # nodes use 58.2
    rollouts = [r for r in live(state, range(45), 1.5) if isinstance(r, OptimizerRollout)]
    assert [r.status for r in rollouts] == ["running", "rolled_back"]
    assert "> 55 %" in rollouts[1].reason


def test_a_bad_change_is_taken_back_and_remembered() -> None:
    state = asked()
    rollouts = [r for r in live(state, range(70), 0.7) if isinstance(r, OptimizerRollout)]
    assert [r.status for r in rollouts[:2]] == ["running", "rolled_back"]
    assert rollouts[1].effect_pct is not None
    assert rollouts[1].effect_pct < 0
    np.testing.assert_array_equal(state._tuner["values"][0], DEFAULT)
    group = int(state._tuner["group"][0])
    assert state._tuner["trials"][0][group] == 2
    seen = state._tuner["seen"][0][group, :2, 0]
    assert seen[1] < seen[0]


@pytest.mark.parametrize("seed", [1, 2])
def test_results_do_not_depend_on_the_cut_nor_on_a_restart(seed: int) -> None:
    batch = metrics_of([record for minute in range(60) for record in minute_of(minute, {})])
    whole = asked()
    together = whole.step(batch)
    piecewise = asked()
    rows: list[int] = []
    said: list[Any] = []
    for piece in cuts(batch, seed):
        if int(piece.offset[0]) > len(batch) // 2 and not rows:
            restored = Optimizing(priors())()
            for part in piecewise.capture(whole=True):
                restored.load(part)
            piecewise = restored
            rows.append(-1)
        result = piecewise.step(piece)
        said += records_of(result, OPTIMIZER_RECOMMENDATION) + records_of(result, OPTIMIZER_ROLLOUT)
    assert said == records_of(together, OPTIMIZER_RECOMMENDATION) + records_of(together, OPTIMIZER_ROLLOUT)
    assert said
    assert piecewise.digest() == whole.digest()


def test_repeated_records_change_nothing() -> None:
    batch = metrics_of([record for minute in range(40) for record in minute_of(minute, {})])
    state = asked()
    state.step(batch)
    values = state._table.rows.copy()
    assert not state.step(batch).outputs
    np.testing.assert_array_equal(state._table.rows, values)


@pytest.mark.parametrize(
    ("control", "reason"),
    [
        (request(scope="n1"), "enum"),
        (request(acp_quorum_size=8.0), "range"),
        (request(hde_speed=1.0), "enum"),
    ],
)
def test_requests_outside_the_contract_are_refused(control: Control, reason: str) -> None:
    with pytest.raises(ValidationError) as error:
        Optimizing(priors())().control(control)
    assert error.value.reason == reason


@pytest.mark.parametrize(("scope", "answered"), [("fleet", True), ("fleet/0", True), ("fleet/1", False)])
def test_a_request_for_one_partition_is_for_no_other(scope: str, answered: bool) -> None:
    state = Optimizing(priors())()
    assert not state.control(request(scope=scope)).outputs
    assert bool(list(live(state, range(35), 1.0))) == answered


def test_systems_that_are_not_named_are_not_tuned() -> None:
    record = OptimizerRequest(
        "r", START_MS, "fleet", {"acp_timeout_ms": 2000.0, "acp_batch_size": 25.0, "acp_quorum_size": 7.0}
    )
    state = Optimizing(priors())()
    state.control(Control(OPTIMIZER_REQUEST.kind, msgspec.json.encode(record), b"x/0/0", 0, START_MS))
    np.testing.assert_array_equal(check_request(record), DEFAULT)
    changed = [c.parameter for r in live(state, range(45), 1.0) for c in r.changes]
    assert changed
    assert {name[:3] for name in changed} == {"acp"}


@pytest.mark.parametrize(("trigger", "remembered"), [("operator", 2), ("configuration", 1)])
def test_what_was_tried_before_something_changed_is_forgotten(trigger: str, remembered: int) -> None:
    state = asked()
    for record in live(state, range(160), 1.5):
        if isinstance(record, OptimizerRollout) and record.status == "completed":
            break
    group, now = int(state._tuner["group"][0]), int(state._tuner["minute"][0] - START_MS // 60_000)
    in_force = dict(zip((p.name for p in PARAMETERS), state._tuner["values"][0].tolist(), strict=True))
    state.control(request(trigger, **in_force))
    list(live(state, range(now + 1, now + 15), 1.0))
    assert state._tuner["trials"][0][group] == remembered + (trigger == "operator")


def test_bytes_that_are_no_grid_are_refused() -> None:
    with pytest.raises(ModelRejected):
        Prior.read(b"nothing")


def test_a_grid_of_the_package_can_be_read_as_a_prior() -> None:
    grid = load_grids(names=["pba"])["pba"]
    read, learned = Prior.read(grid.to_bytes()), priors()["pba"]
    np.testing.assert_allclose(read.mean, learned.mean, atol=1e-3)
    assert set(GROUPS) == {"hde", "pba", "acp"}
    assert isinstance(metrics_of(minute_of(0, {})), Batch)
