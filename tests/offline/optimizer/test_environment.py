"""Measured environments: what is measured is right, what is stored comes back, what is asked is between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from offline.optimizer import acp, hde, pba
from offline.optimizer.command import optimize
from offline.optimizer.environment import Task
from offline.optimizer.grid import METRICS, NAMES, Grid, load_grids
from offline.simulator.payload import generated
from online_models.optimizer.space import DEFAULT, GROUPS
from schemas.error import ConfigError
from schemas.optimizer import PARAMETERS


@pytest.fixture(scope="module")
def grids() -> dict[str, Grid]:
    return load_grids()


@pytest.mark.parametrize("series", generated(3, 64 * 1024, 2), ids=lambda s: s.name)
@pytest.mark.parametrize(("level", "chunk", "window"), [(1, 1024, 32_768), (9, 65_536, 1 << 20), (5, 16_384, 524_288)])
def test_what_hde_encodes_comes_back(series, level: int, chunk: int, window: int) -> None:  # type: ignore[no-untyped-def]
    previous, payload = series.versions
    data = hde.encode(payload, previous, level, chunk, window)
    assert hde.decode(data, previous, chunk, window) == payload
    assert hde.decode(hde.encode(payload, b"", level, chunk, window), b"", chunk, window) == payload


@pytest.mark.parametrize(
    ("members", "arbitrary", "crashed"), [(3, 0, 1), (4, 1, 1), (7, 2, 3), (9, 2, 4), (10, 3, 4), (15, 4, 7)]
)
def test_faults_tolerated_are_honest(members: int, arbitrary: int, crashed: int) -> None:
    assert acp.byzantine_faults(members) == arbitrary
    assert (members - 1) // 2 == crashed
    quorum = acp.quorum_of(members)
    # Two quorums share a member that does not lie, and the honest ones make one without the liars.
    assert 2 * quorum - members > arbitrary
    assert quorum <= members - arbitrary


DELAYS = np.linspace(5.0, 10.0, 21)


@pytest.mark.parametrize("members", [3, 7, 15])
def test_consensus_takes_its_three_message_ways(members: int) -> None:
    latency, decided, _, _ = acp.simulate(1, DELAYS, 0.0, 10.0, 2000.0, 1, members, acp.quorum_of(members), 0)
    assert decided == 1.0
    assert 10.0 <= latency <= 3 * 10.0 + 2 * acp.STORE_MS + 5.0


def test_without_a_quorum_nothing_is_decided() -> None:
    _, decided, _, _ = acp.simulate(1, DELAYS, 0.0, 10.0, 500.0, 1, 7, acp.quorum_of(7), 3)
    assert decided == 0.0


def test_a_timeout_below_the_message_delay_costs_time() -> None:
    hasty = acp.simulate(1, 20 * DELAYS, 0.0, 10.0, 100.0, 1, 7, 5, 0)
    patient = acp.simulate(1, 20 * DELAYS, 0.0, 10.0, 2000.0, 1, 7, 5, 0)
    assert hasty[0] > patient[0]


def test_batches_save_messages() -> None:
    one, many = (acp.simulate(1, DELAYS, 0.0, 500.0, 2000.0, batch, 7, 5, 0) for batch in (1, 50))
    assert many[2] < one[2] / 10


def test_a_steady_link_is_allocated_whole_and_a_mean_only_in_part() -> None:
    trace = pba.Trace(np.full(pba.LENGTH_S, 500.0), 1.0, "steady")
    value = np.exp(pba._measure(trace, 30.0, 10)[:, 0])
    np.testing.assert_allclose(value, 1.0, atol=0.01)
    noisy = pba.Trace(500.0 * np.exp(0.3 * np.random.default_rng(0).standard_normal(pba.LENGTH_S)), 1.0, "noisy")
    worse = np.exp(pba._measure(noisy, 30.0, 10)[:, 0])
    assert (worse < 0.9).all()
    assert worse[-1] == pytest.approx(worse[-2])


@pytest.mark.parametrize("name", NAMES)
def test_a_grid_of_the_package_is_whole(grids: dict[str, Grid], name: str) -> None:
    grid = grids[name]
    assert np.isfinite(grid.log).all()
    assert grid.log.shape == (grid.contexts, *(len(axis) for axis in grid.axes), len(METRICS))
    assert set(grid.training) & set(grid.test) == set()
    for axis, parameter in zip(grid.axes, PARAMETERS[GROUPS[name]], strict=True):
        assert (np.diff(axis) > 0).all()
        assert all(parameter.allows(float(value)) for value in axis)
        assert (axis[0], axis[-1]) == (parameter.minimum, parameter.maximum)
    assert (grid.settings == DEFAULT[GROUPS[name]]).all(axis=1).any()


def test_the_packages_grids_are_small() -> None:
    files = list((Path(__file__).parents[3] / "online_models" / "optimizer" / "measured").glob("*.npz"))
    assert sum(file.stat().st_size for file in files if file.stem in NAMES) <= 700_000


@pytest.mark.parametrize("name", NAMES)
def test_interpolation_meets_the_grid_and_never_beats_it(grids: dict[str, Grid], name: str) -> None:
    grid = grids[name]
    rng = np.random.default_rng(0)
    context = rng.integers(0, grid.contexts, 500)
    at = rng.integers(0, len(grid.settings), 500)
    np.testing.assert_allclose(grid.at(context, grid.settings[at]), grid.surfaces()[context, at], atol=1e-9)
    low, high = grid.settings.min(axis=0), grid.settings.max(axis=0)
    between = grid.at(context, np.exp(rng.uniform(np.log(low), np.log(high), (500, 3))))
    assert (between[:, 0] <= grid.surfaces()[context, :, 0].max(axis=1) + 1e-9).all()


def test_a_grid_survives_its_file(grids: dict[str, Grid], tmp_path: Path) -> None:
    grid = grids["pba"]
    (tmp_path / "pba.npz").write_bytes(grid.to_bytes())
    again = load_grids(tmp_path, ["pba"])["pba"]
    np.testing.assert_allclose(again.log, grid.log, atol=1e-3)
    assert (again.name, again.features, again.source) == (grid.name, grid.features, grid.source)


def test_fresh_contexts_are_judged_by_what_was_learned_from_all_known_ones(grids: dict[str, Grid]) -> None:
    known = grids["pba"]
    fresh = replace(known, context=known.context[:5] + 1.0, log=known.log[:5])
    joined = fresh.after(known)
    assert (len(joined.training), len(joined.test)) == (known.contexts, 5)
    np.testing.assert_array_equal(joined.surfaces()[list(joined.test)], fresh.surfaces())
    with pytest.raises(ConfigError, match="dwcp optimize grid"):
        replace(fresh, features=("other",)).after(known)


@pytest.mark.parametrize("number", [0, 7])
def test_a_context_of_consensus_does_not_depend_on_how_many_there_are(number: int) -> None:
    one, again = (acp.draw_place(acp.QUANTILES, 6, number) for _ in range(2))
    assert (one.delays == again.delays).all()
    assert one[2:] == again[2:]
    assert 0.15 <= one.delays[0] <= 75.0
    assert acp.draw_place(acp.QUANTILES, 6, number + 1).rate != one.rate


def test_a_damaged_or_missing_grid_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="dwcp optimize grid"):
        load_grids(tmp_path)
    (tmp_path / "hde.npz").write_bytes(b"x")
    with pytest.raises(ConfigError, match="dwcp optimize grid"):
        load_grids(tmp_path, ["hde"])


@pytest.mark.parametrize("name", NAMES)
def test_the_optimum_keeps_the_limits_and_is_the_best_that_does(grids: dict[str, Grid], name: str) -> None:
    grid = grids[name]
    for context in grid.test:
        task = Task(grid, context, grid.default)
        shares = [task.share(setting) for setting in grid.settings]
        assert max(shares) == pytest.approx(1.0)
        best = grid.settings[int(np.argmax(shares))]
        assert not task.breaks_limit(best)
        assert (
            not task.is_unsafe(best, grid.default)
            or not task.keeps(task.grid.at(np.array([context]), grid.default[None])).all()
        )


def test_measuring_pba_by_command_writes_a_grid_that_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    monkeypatch.setattr(pba, "UPDATES_S", np.array([10.0, 60.0]))
    result = CliRunner().invoke(
        optimize,
        ["grid", "--only", "pba", "--seed", "9", "--contexts", "3", "--out", str(tmp_path)],
        catch_exceptions=False,
    )
    assert result.exit_code == 0
    assert "pba.npz" in result.stdout
    grid = load_grids(tmp_path, ["pba"])["pba"]
    assert grid.contexts == 3
    assert "seed 9" in grid.source
