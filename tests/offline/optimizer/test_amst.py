"""Stream counts tuned by what transfers achieved: better than the formula where that is wrong, silent where not."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from offline.optimizer.amst import FACTORS, PLAIN, Study, Tuner, run_amst
from offline.optimizer.command import optimize
from offline.simulator.tcp import load_path, mathis_mbps
from schemas.field import LINK_TYPES
from streams.settings import Settings


@pytest.fixture(scope="module")
def study() -> Study:
    return run_amst(links=24, minutes=600, seed=3)


def ratios(study: Study, policy: str) -> dict[str, float]:
    return {row.link_type: row.time_ratio for row in study.rows if row.policy == policy}


def test_transfers_teach_what_the_formula_does_not_know(study: Study) -> None:
    assert set(ratios(study, "formula").values()) == {1.0}
    assert ratios(study, "tuned")["all"] < 0.85
    assert ratios(study, "by_type")["all"] < 0.9
    for kind in (*LINK_TYPES, "all"):
        assert (
            ratios(study, "best")[kind] <= min(ratios(study, name)[kind] for name in ("tuned", "by_type", "law")) + 0.02
        )


def test_only_factors_that_beat_the_formula_for_certain_are_told(study: Study) -> None:
    certain = {row.link_type for row in study.rows if row.policy == "by_type" and row.time_ratio_upper < 1.0}
    assert set(study.factors) == certain & set(LINK_TYPES)
    assert "dc" in study.factors
    text = ",".join(f"{name}={factor:g}" for name, factor in study.factors.items())
    told = dict(zip(LINK_TYPES, Settings.from_environment({"DWCP_AMST_FACTORS": text}).amst_factors, strict=True))
    assert told == {name: pytest.approx(study.factors.get(name, 1.0)) for name in LINK_TYPES}


def teach(best: int, seed: int, rounds: int = 400, gain: float = 0.2) -> Tuner:
    """A tuner of four links whose times grow by `gain` with each step away from the best factor."""
    rng = np.random.default_rng(seed)
    tuner = Tuner(np.zeros(4, np.int64))
    for _ in range(rounds):
        chosen = tuner.choose(rng)
        tuner.learn(chosen, gain * np.abs(chosen - best) + 0.1 * rng.standard_normal(4))
    return tuner


@pytest.mark.parametrize("best", [0, PLAIN - 2, PLAIN, len(FACTORS) - 1])
def test_the_tuner_walks_to_the_best_factor(best: int) -> None:
    assert (np.abs(teach(best, 0).best() - best) <= 1).all()
    assert abs(teach(best, 0).best_by_type()[0] - best) <= 1


def test_without_a_difference_the_formula_stands() -> None:
    used = np.array([teach(PLAIN, seed, gain=0.0).best() for seed in range(20)])
    assert (used == PLAIN).mean() > 0.9


@pytest.mark.parametrize("streams", [1, 2, 8, 64, 256])
@pytest.mark.parametrize("loss", [0.0, 1e-6, 1e-3, 0.05])
def test_a_loaded_path_carries_no_more_than_it_has_and_loses_no_less_than_before(streams: int, loss: float) -> None:
    path = load_path(streams, 40.0, loss, 300.0, 20.0)
    assert 0.0 < path.goodput_mbps <= 300.0
    assert loss <= path.loss <= 0.5
    assert 40.0 <= path.rtt_ms < 60.0
    sent = path.goodput_mbps / (1.0 - path.loss)
    assert sent <= streams * mathis_mbps(path.rtt_ms, path.loss) * (1 + 1e-9) or path.loss == 0.5


def test_streams_help_until_the_path_is_full_and_harm_beyond() -> None:
    counts = np.arange(1, 257)
    path = load_path(counts, 40.0, 1e-4, 300.0, 20.0)
    best = int(path.goodput_mbps.argmax())
    assert 5 < counts[best] < 40
    assert (np.diff(path.goodput_mbps[: best + 1]) > 0).all()
    assert (np.diff(path.goodput_mbps[best:]) <= 0).all()
    assert path.goodput_mbps[-1] < 0.97 * path.goodput_mbps[best]
    assert (np.diff(path.rtt_ms) >= 0).all()
    assert (np.diff(path.loss) >= -1e-15).all()


@pytest.mark.parametrize("as_json", [True, False])
def test_the_command_says_what_a_worker_is_told_with(as_json: bool) -> None:
    result = CliRunner().invoke(optimize, ["amst", "--links", "8", "--hours", "4", *(["--json"] if as_json else [])])
    assert result.exit_code == 0, result.output
    if as_json:
        document: Any = json.loads(result.stdout)
        assert {row["policy"] for row in document["rows"]} == {"formula", "law", "tuned", "by_type", "best"}
        return
    last = result.stdout.strip().splitlines()[-1]
    assert last.startswith("DWCP_AMST_FACTORS=") or last == "nothing beats the formula for certain"
