"""A challenger among forecasters wins or goes, by what the links' scores say."""

from __future__ import annotations

from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest

from offline.sidecar.forecast_trial import ForecastTrial
from offline.sidecar.trial import SETTLE_MS
from online_models.experiment.arm import arms_of
from online_models.experiment.winner import WinnerRule
from schemas.codec import codec_of
from schemas.error import StateError
from schemas.experiment import ExperimentResult, ExperimentState
from schemas.network import HORIZON_MS, ForecastScore
from streams.model import stage as stages
from streams.model.stage import By, Catalogue
from tests.catalogue import catalogue as catalogue_of
from tests.catalogue import stage_of as stage_in

HOUR_MS = 3_600_000
RULE = WinnerRule(looks=5, look_every_ms=HOUR_MS, least_scores=10)
LINKS = 120
catalogue = partial(catalogue_of, "bandwidth")
stage_of = partial(stage_in, "bandwidth")


def scores(gain: float, seed: int = 0, each: int = 20) -> list[ForecastScore]:
    """Scores of links whose errors are lower by that share where the challenger serves."""
    rng = np.random.default_rng(seed)
    names = [f"n{k}:hub" for k in range(LINKS)]
    treated = arms_of(names, 50)
    found = []
    for k, name in enumerate(names):
        for i in range(each):
            bar = rng.uniform(0.5, 1.5, 4)
            error = bar * rng.uniform(0.5, 1.2, 4) * (1.0 - gain * treated[k])
            found.append(ForecastScore(
                id=f"{seed}/{k}/{i}", timestamp=i, node_id=name.split(":")[0], peer_id="hub", link_type="wan",
                prediction_time=i, model_version="regret-3", actual=[1.0] * 4, error=error.tolist(),
                persistence_error=bar.tolist(), moving_average_error=bar.tolist(), covered=[True] * 4,
            ))  # fmt: skip
    return found


def run(known: Catalogue, gain: float) -> tuple[ForecastTrial, list[Any]]:
    """From the beginning to the decision: the states and results that were published."""
    trial = ForecastTrial(RULE)
    published: list[Any] = [*trial.round(known, 0).states]
    for look in range(1, RULE.looks + 1):
        trial.add(scores(gain, look), look * HOUR_MS)
        trial = ForecastTrial(RULE, trial.capture())
        said = trial.round(known, look * HOUR_MS)
        published += [*said.states, *said.results]
        if trial.running is None:
            break
    return trial, published


@pytest.mark.parametrize(
    ("gain", "stage", "old", "status", "decision"),
    [
        (0.1, "champion", "previous", "passed", "promote"),
        (-0.1, "candidate!", "champion", "rolled_back", "rollback"),
        (0.0, "retired", "champion", "failed", "stop"),
    ],
)
def test_the_winner_by_its_scores(gain: float, stage: str, old: str, status: str, decision: str) -> None:
    known = catalogue(("1", "champion"), ("2", "challenger"))
    trial, published = run(known, gain)
    assert (stage_of(known, "2"), stage_of(known, "1")) == (stage, old)
    assert trial.state is not None
    assert (trial.state.status, trial.state.control_version, trial.state.treatment_version) == (status, "1", "2")
    results = [one for one in published if isinstance(one, ExperimentResult)]
    assert results[-1].decision == decision
    assert {one.decision for one in results[:-1]} <= {"wait"}
    (last,) = results[-1].comparisons
    assert last.lift_lower_pct < -100.0 * gain < last.lift_upper_pct
    assert results[-1].sample_ratio_p_value > 0.001
    for one in published:
        (again,), rejected = codec_of(type(one)).decode([msgspec.json.encode(one)])
        assert not rejected
        assert again == one


def test_without_a_champion_the_online_forecaster_is_the_control() -> None:
    known = catalogue(("2", "challenger"))
    (begun, *_) = run(known, 0.1)[1]
    assert isinstance(begun, ExperimentState)
    assert (begun.control_version, begun.ramp_pct, begun.model_name) == ("online", 50, "bandwidth")
    assert stage_of(known, "2") == "champion"


def test_forecasts_of_before_the_trial_are_not_counted() -> None:
    known, trial = catalogue(("2", "challenger")), ForecastTrial(RULE)
    trial.add(scores(0.1), 0)
    trial.round(known, 1000)
    trial.add(scores(0.1), 1000 + SETTLE_MS + HORIZON_MS - 1)
    assert len(trial.sums) == 0
    trial.add(scores(0.1), 1000 + SETTLE_MS + HORIZON_MS)
    assert len(trial.sums) == LINKS
    assert int(trial.sums.rows["scored"].sum()) == 20 * LINKS


def test_without_new_scores_there_is_no_look() -> None:
    known, trial = catalogue(("2", "challenger")), ForecastTrial(RULE)
    trial.round(known, 0)
    assert trial.round(known, 2 * HOUR_MS).results == []
    trial.add(scores(0.0), 2 * HOUR_MS)
    assert len(trial.round(known, 2 * HOUR_MS).results) == 1
    assert trial.round(known, 3 * HOUR_MS).results == []


def test_a_challenger_that_is_taken_off_ends_its_trial() -> None:
    known, trial = catalogue(("1", "champion"), ("2", "challenger")), ForecastTrial(RULE)
    trial.round(known, 0)
    known.take(stages.retire(known, "bandwidth", "2", By("operator", 5, "no")))
    (state,) = trial.round(known, 10).states
    assert (state.status, state.reason) == ("stopped", "its treatment is no challenger any more")
    assert trial.round(known, 20).states == []


def test_shadows_and_candidates_wait_for_somebody() -> None:
    trial = ForecastTrial(RULE)
    said = trial.round(catalogue(("1", "champion"), ("2", "shadow"), ("3", "candidate")), 0)
    assert (said.states, said.announcements) == ([], [])


@pytest.mark.parametrize("captured", [b"\xc1", b"\x80"])
def test_what_is_damaged_is_said(captured: bytes) -> None:
    with pytest.raises(StateError):
        ForecastTrial(RULE, captured)
