"""Trainings on the way: nothing learned before it is known, bad models refused, the same again from the same seed."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from offline.backtest.bandwidth import backtest_column
from offline.backtest.bandwidth_stream import UNBOUNDED, Champion, Taken, conclude_link, stream_link, take_link
from offline.backtest.grid import Grid
from offline.backtest.retrain import FIRST, GATES, Retraining, Turn, certainty, retrain
from online_models.onnx_model import OnnxModel
from schemas.network import HORIZON_MS

PERIOD_MS = 300_000
ONCE = Retraining(growth=10.0)
"""One training, once there is enough."""


def scheduled(n: int, seed: int = 0, ends_at: int | None = None) -> Grid:
    """Work that only the minute of the hour foretells; from a sample on it is gone, and the last value is the best."""
    rng = np.random.default_rng(seed)
    k = np.arange(n)
    phase = k % 12
    value = 100.0 + 40.0 * np.isin(phase, (6, 7)) + 25.0 * np.isin(phase, (1, 4)) + 3.0 * rng.normal(size=n)
    if ends_at is not None:
        value[ends_at:] = 115.0 + 0.01 * rng.normal(size=n - ends_at).cumsum()
    return Grid(1_700_006_400_000 + k * PERIOD_MS, value, PERIOD_MS, 0)


def said(line: str) -> None:
    assert line


def trained(grid: Grid, how: Retraining = ONCE) -> tuple[Taken, list[Champion], list[Turn]]:
    taken = take_link(grid, 0, HORIZON_MS)
    return taken, *retrain(taken, UNBOUNDED, how, said)


@cache
def usual() -> tuple[Grid, list[Champion], list[Turn]]:
    grid = scheduled(1000)
    _, champions, turns = trained(grid)
    return grid, champions, turns


def contents(champions: list[Champion]) -> list[tuple[int, str]]:
    return [(one.since, one.model.sha256) for one in champions if isinstance(one.model, OnnxModel)]


def test_what_only_training_finds_is_published() -> None:
    grid = scheduled(1200)
    alone = backtest_column("work", grid)
    found = backtest_column("work", grid, trained=ONCE)
    assert alone.ratio is not None
    assert found.ratio is not None
    assert found.ratio < 0.8 * alone.ratio
    assert [one.name for one in found.forecasters][:2] == ["published", "trained"]
    assert (found.kept, alone.trainings) == (1, [])
    (turn,) = found.trainings
    assert turn.ratio is not None
    assert turn.ratio < 0.9
    assert turn.version.startswith("boosting-2023")


@pytest.mark.parametrize("cut", [FIRST, FIRST + 1, FIRST + 60])
def test_whatever_comes_later_changes_no_model_and_no_forecast_before(cut: int) -> None:
    grid, champions, turns = usual()
    value = grid.value.copy()
    value[cut:] = 1e6 - 3.0 * value[cut:]
    other = replace(grid, value=value)
    taken, others, other_turns = trained(other)
    assert other_turns == turns
    assert contents(others) == contents(champions)
    one = stream_link(grid, 0, HORIZON_MS, UNBOUNDED, champions)
    two = conclude_link(taken, UNBOUNDED, others)
    assert one[:cut].tobytes() == two[:cut].tobytes()
    assert one[cut].tobytes() != two[cut].tobytes()


@pytest.mark.parametrize("back", [1, 100, 300])
def test_what_is_known_is_learned_or_judged_by(back: int) -> None:
    grid, _, (turn,) = usual()
    value = grid.value.copy()
    value[FIRST - back] += 30.0
    _, _, (other,) = trained(replace(grid, value=value))
    assert other.ratio != turn.ratio


def test_before_the_first_training_a_forecast_is_what_it_is_without() -> None:
    grid, champions, _ = usual()
    with_it = stream_link(grid, 0, HORIZON_MS, UNBOUNDED, champions)
    without = stream_link(grid, 0, HORIZON_MS, UNBOUNDED)
    assert with_it[:FIRST].tobytes() == without[:FIRST].tobytes()
    assert (with_it["predicted"][FIRST:, 0] != without["predicted"][FIRST:, 0]).any()
    assert np.isnan(with_it["trained"][:FIRST]).all()
    assert np.isfinite(with_it["trained"][FIRST:]).all()


def test_a_model_that_misses_the_gate_is_refused_and_says_which() -> None:
    grid = scheduled(1000, ends_at=724)  # what trains, and what is validated, is no longer true where it is judged
    taken, champions, (turn,) = trained(grid)
    assert not champions
    assert turn.ratio is not None
    assert turn.ratio > 1.01
    assert turn.refused is not None
    assert GATES[0] in turn.refused
    assert f"{turn.ratio:.3f}" in turn.refused
    without = stream_link(grid, 0, HORIZON_MS, UNBOUNDED)
    assert conclude_link(taken, UNBOUNDED, champions).tobytes() == without.tobytes()


def test_the_champion_before_goes_on_where_the_next_one_is_refused() -> None:
    grid = scheduled(1200, ends_at=941)
    taken, champions, turns = trained(grid, Retraining(growth=0.3))
    assert [turn.refused is None for turn in turns] == [True, False]
    made = conclude_link(taken, UNBOUNDED, champions)
    assert (made["asked"][FIRST:] == 1).all()


def test_a_series_that_never_moves_has_no_champion() -> None:
    grid = scheduled(1000)
    _, champions, turns = trained(replace(grid, value=np.full(1000, 7.0)))
    assert not champions
    assert [turn.ratio for turn in turns] == [None]
    assert "never wrong" in (turns[0].refused or "")


def test_a_training_repeats_and_the_seed_changes_it() -> None:
    grid, champions, _ = usual()
    again = trained(grid)[1]
    other = trained(grid, replace(ONCE, seed=1))[1]
    assert contents(again) == contents(champions)
    assert contents(other) != contents(champions)


def test_values_below_0_are_forecast_alike() -> None:
    grid = scheduled(1200)
    one = backtest_column("work", grid, trained=ONCE).ratio
    other = backtest_column("work", replace(grid, value=grid.value - 1000.0), trained=ONCE).ratio
    assert one is not None
    assert other == pytest.approx(one, rel=0.1)  # features of samples are those of throughputs, which end at 0


@pytest.mark.parametrize("factor", [1e-30, 1e30, 1e40])
def test_values_of_any_size_are_trained_on_or_left_alone(factor: float) -> None:
    grid = scheduled(1000)
    one = backtest_column("work", replace(grid, value=factor * grid.value), trained=ONCE)
    assert all(turn.refused for turn in one.trainings) or one.ratio < 0.4  # beyond 1e38 nothing is a number to a worker


def test_every_champion_serves_until_the_next() -> None:
    grid = scheduled(1150)
    taken, champions, turns = trained(grid, Retraining(growth=0.2))
    assert [turn.refused for turn in turns] == [None, None]
    assert [one.since for one in champions] == [850, 1020]
    made = conclude_link(taken, UNBOUNDED, champions)
    assert np.unique(made["asked"][850:1020]).tolist() == [1]
    assert np.unique(made["asked"][1020:]).tolist() == [2]
    assert (made["epoch"][[849, 850, 1020]] == [0, 1, 2]).all()


def test_a_gain_that_may_be_luck_is_refused() -> None:
    grid = scheduled(1000)
    noise = replace(grid, value=100.0 + np.random.default_rng(5).normal(size=1000))
    _, champions, (turn,) = trained(noise)
    assert not champions
    assert f"{GATES[1]} missed" in (turn.refused or "")


@pytest.mark.parametrize("together", [1, 3])
def test_a_gain_is_certain_by_what_neighbours_say_together(together: int) -> None:
    gain = np.repeat(np.random.default_rng(0).normal(0.5, 1.0, 100), together)
    expected = gain.mean() / (gain[::together].std(ddof=1) / 10.0)
    assert certainty(gain, together) == pytest.approx(expected)
    assert certainty(-gain, together) == pytest.approx(-expected)


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (Retraining(0.25), [850, 1063, 1329]),
        (Retraining(0.5), [850, 1275]),
        (Retraining(None, 86_400_000), [850, 1138, 1426]),
        (Retraining(None, 100 * 86_400_000), [850]),
    ],
)
def test_turns_are_taken_as_history_grows_or_time_passes(how: Retraining, expected: list[int]) -> None:
    assert how.turns(np.arange(1500) * PERIOD_MS) == expected


def test_too_little_to_judge_by_is_no_training() -> None:
    sparse = scheduled(1100)
    times = sparse.time_ms + np.cumsum(np.arange(1100) % 2) * 10 * PERIOD_MS  # few samples have one a horizon later
    _, champions, turns = trained(replace(sparse, time_ms=times))
    assert (champions, turns) == ([], [])
