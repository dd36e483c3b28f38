"""A rollout advances on proof, goes back on harm, and does neither by luck."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from online_models.experiment.rollout import (
    MINUTE_MS,
    ROLLOUT,
    Minute,
    Moment,
    begin,
    judge_stage,
    share_treated,
    take_minute,
)
from schemas.optimizer import ROLLOUT_STAGES_PCT


def run(
    effect: float, seed: int = 0, noise: float = 0.02, alike: float = 0.5, cost: float = 0.0, **limits: float
) -> list[Moment]:
    """A rollout's moments; its cost wanders five times as much as its effect."""
    rng = np.random.default_rng(seed)
    rollout: Any = np.zeros(1, ROLLOUT)[0]
    moments = [begin(rollout, 0)]
    wander = 0.0
    for minute in range(1, 400):
        wander = alike * wander + noise * np.sqrt(1 - alike**2) * rng.standard_normal()
        dear = cost + 5.0 * noise * rng.standard_normal()
        moment = take_minute(rollout, Minute(effect + wander, 100, 10, dear, **limits), minute * MINUTE_MS)
        if moment:
            moments.append(moment)
            if moment.status in ("completed", "rolled_back"):
                break
    return moments


def test_a_gain_goes_through_every_stage() -> None:
    moments = run(0.05)
    assert [m.status for m in moments] == ["running", "advanced", "advanced", "advanced", "completed"]
    assert [m.stage_pct for m in moments[1:]] == list(ROLLOUT_STAGES_PCT)
    assert all(m.test and m.test.p_rise < 0.001 for m in moments[1:4])
    assert all(later.stage_started_at > earlier.stage_started_at for earlier, later in pairwise(moments[1:]))


@pytest.mark.parametrize(("cost", "kept"), [(0.0, True), (0.03, True), (0.2, False), (0.4, False)])
def test_a_gain_that_is_dearer_than_allowed_is_taken_back(cost: float, kept: bool) -> None:
    """Noise alone takes no rollout back, however much a minute's cost scatters; what is far beyond passes no stage."""
    ends = [run(0.05, seed, cost=cost, max_cost=0.093)[-1] for seed in range(40)]
    assert sum(m.status == "completed" for m in ends) >= (39 if kept else 0)
    if not kept:
        assert {(m.status, m.stage_pct) for m in ends} == {("rolled_back", 5)}
        assert all("cost +" in m.reason and "> +9.7 %" in m.reason for m in ends)
        assert all(m.cost and m.cost.effect > 0.093 for m in ends)


def test_harm_is_taken_back_at_the_first_look() -> None:
    moments = run(-0.05)
    assert [m.status for m in moments] == ["running", "rolled_back"]
    assert moments[-1].stage_pct == 5
    assert "performance" in moments[-1].reason


@pytest.mark.parametrize("alike", [0.0, 0.5, 0.8])
def test_nothing_gained_is_not_rolled_out(alike: float) -> None:
    ends = [run(0.0, seed, alike=alike)[-1] for seed in range(60)]
    assert {m.status for m in ends} == {"rolled_back"}
    assert sum(m.stage_pct > 5 for m in ends) <= 2


@pytest.mark.parametrize(("limits", "said"), [({"cpu_pct": 90.0}, "cpu"), ({"memory_pct": 81.0}, "memory")])
def test_a_broken_limit_ends_it_at_once(limits: dict[str, float], said: str) -> None:
    moments = run(0.05, **limits)
    assert moments[1].status == "rolled_back"
    assert said in moments[1].reason


def test_without_both_sides_it_is_taken_back() -> None:
    moments = run(float("nan"))
    assert moments[-1].status == "rolled_back"
    assert "both sides" in moments[-1].reason


def test_neighbouring_minutes_count_for_less() -> None:
    rollout: Any = np.zeros(2, ROLLOUT)
    independent = np.random.default_rng(1).normal(0.01, 0.02, 60)
    for at, values in ((0, independent), (1, np.repeat(independent[::4], 4))):
        begin(rollout[at], 0)
        for k, value in enumerate(values):
            # before the first look, so that the sums stay
            take_minute(rollout[at], Minute(float(value), 1, 1), min(k, 10))
    first, second = judge_stage(rollout[0]), judge_stage(rollout[1])
    assert first
    assert second
    assert second.error > 1.5 * first.error


@pytest.mark.parametrize("nodes", [1, 3, 20, 200])
def test_later_stages_keep_the_nodes_of_earlier_ones(nodes: int) -> None:
    digests = np.random.default_rng(0).integers(1, 1 << 63, nodes).astype(np.uint64)
    shares = [share_treated(pct, digests) for pct in ROLLOUT_STAGES_PCT]
    for fewer, more in pairwise(shares):
        assert (more | ~fewer).all()
    assert shares[0].sum() == max(1, round(nodes * 0.05))
    assert shares[-1].all()
