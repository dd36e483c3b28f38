"""Trained forecasters by role: a shadow changes nothing, a challenger decides on its links alone."""

from __future__ import annotations

import numpy as np
import pytest

from online_models.bandwidth.record import MODEL_VERSION
from online_models.bandwidth.state import NetworkState
from online_models.bandwidth.trained_input import COMPACT
from online_models.experiment.arm import arms_of
from schemas.batch import Batch, Result
from schemas.topic import NETWORK_FORECAST, NETWORK_SCORE
from tests.online_models.forecaster_model import (
    Shelf,
    announce,
    experiment,
    foretold,
    informed,
    misled,
    recalling,
    repeated,
    sealed,
    weights,
)
from tests.online_models.stream import disturb, encoded, run_cut, samples_of

LINKS = 8


@pytest.fixture(scope="module")
def batch() -> Batch:
    return samples_of(foretold(400, LINKS))


@pytest.fixture(scope="module")
def alone(batch: Batch) -> Result:
    return NetworkState().step(batch)


def _with(*roles: tuple[bytes, str], ramp_pct: int = 0, on_trial: str = "new") -> NetworkState:
    state, shelf = NetworkState(), Shelf()
    for content, role in roles:
        announce(state, shelf, content, role)
    if ramp_pct:
        experiment(state, ramp_pct, on_trial)
    return state


def _ratio(state: NetworkState, name: str) -> float:
    above, below = state.gauges()[f"forecast_{name}_ratio"]
    assert below
    return above / below


def _trial() -> NetworkState:
    return _with((sealed(misled(), "old"), "champion"), (sealed(informed(), "new"), "challenger"), ramp_pct=50)


def _by_arm(result: Result, ramp_pct: int = 50) -> tuple[set[str], set[str]]:
    """Versions that forecasts of control and treated links name."""
    columns = result.outputs[NETWORK_FORECAST].columns
    keys = [f"{node}:{peer}" for node, peer in zip(columns["node_id"], columns["peer_id"], strict=True)]
    treated = arms_of(keys, ramp_pct) == 1
    version = np.array(columns["model_version"])
    assert 0 < treated.sum() < len(treated)
    return set(version[~treated].tolist()), set(version[treated].tolist())


@pytest.mark.parametrize(("weight", "low", "high"), [(informed(), 0.1, 0.9), (misled(), 1.05, 9.0)])
def test_a_shadow_is_judged_and_changes_nothing(
    weight: np.ndarray, low: float, high: float, batch: Batch, alone: Result
) -> None:
    state = _with((sealed(weight, "new"), "shadow"))
    assert encoded([(0, state.step(batch))]) == encoded([(0, alone)])
    assert low < _ratio(state, "shadow") < high  # three of four targets are persistence
    assert state.gauges()["forecast_model_asked"][0] == 0.0


def test_a_shadow_beside_a_champion_changes_nothing(batch: Batch) -> None:
    champion = (sealed(informed(), "old"), "champion")
    both = _with(champion, (sealed(weights(), "new"), "shadow"))
    assert encoded([(0, both.step(batch))]) == encoded([(0, _with(champion).step(batch))])
    assert _ratio(both, "shadow") > 1.2


def test_another_shadow_is_judged_for_what_it_says_itself(batch: Batch) -> None:
    shelf, state = Shelf(), NetworkState()
    announce(state, shelf, sealed(misled(), "bad"), "shadow")
    state.step(batch.take(0, 1600))
    announce(state, shelf, sealed(informed(), "good"), "shadow")
    assert state.gauges()["forecast_shadow_judged"][0] == 0.0
    state.step(batch.take(1600, len(batch)))
    assert _ratio(state, "shadow") < 0.9


def test_a_challenger_serves_the_links_on_trial_and_no_others(batch: Batch) -> None:
    state = _trial()
    control, treated = _by_arm(state.step(batch))
    assert f"{MODEL_VERSION}+new" in treated
    assert f"{MODEL_VERSION}+new" not in control
    assert f"{MODEL_VERSION}+old" not in treated
    assert _ratio(state, "trial_challenger") < 0.9 * _ratio(state, "trial_champion")


def test_without_an_experiment_a_challenger_is_not_asked(batch: Batch, alone: Result) -> None:
    idle = _with((sealed(informed(), "new"), "challenger"))
    assert encoded([(0, idle.step(batch))]) == encoded([(0, alone)])
    assert idle.gauges()["forecast_model_asked"][0] == 0.0


def test_a_version_that_is_not_on_trial_is_not_asked(batch: Batch, alone: Result) -> None:
    other = _with((sealed(informed(), "new"), "challenger"), ramp_pct=50, on_trial="another")
    assert encoded([(0, other.step(batch))]) == encoded([(0, alone)])


def test_links_on_trial_do_not_speak_for_the_champion(batch: Batch, alone: Result) -> None:
    """A type's record is the champion's: links of the control do not pay for the challenger's success."""
    found, bar = (_control_errors(one) for one in (_trial().step(batch), alone))
    assert found.mean() < 1.02 * bar.mean()


def _control_errors(result: Result) -> np.ndarray:
    columns = result.outputs[NETWORK_SCORE].columns
    keys = [f"{node}:{peer}" for node, peer in zip(columns["node_id"], columns["peer_id"], strict=True)]
    return np.asarray(columns["error"])[arms_of(keys, 50) == 0, 0]


def test_a_promoted_challenger_keeps_what_its_links_know_of_it(batch: Batch) -> None:
    shelf, state = Shelf(), NetworkState()
    announce(state, shelf, sealed(misled(), "old"))
    announce(state, shelf, sealed(informed(), "new"), "challenger")
    experiment(state, 50, "new")
    state.step(batch.take(0, 1600))
    announce(state, shelf, sealed(informed(), "new"), "champion")
    experiment(state, 50, "new", "passed")
    _, treated = _by_arm(state.step(batch.take(1600, 1600 + LINKS)))
    assert treated == {f"{MODEL_VERSION}+new"}


@pytest.mark.parametrize("seed", [1, 2])
def test_answers_do_not_depend_on_the_cut(seed: int) -> None:
    batch = samples_of(disturb(foretold(120, LINKS, empty=True)))
    roles = [
        (sealed(informed(), "old", logarithm=True), "champion"), (sealed(recalling(), "new", window=COMPACT),
        "challenger"), (sealed(misled(), "other"), "shadow"),
    ]  # fmt: skip
    whole, cut = _with(*roles, ramp_pct=50), _with(*roles, ramp_pct=50)
    assert run_cut(cut, batch, seed) == encoded([(0, whole.step(batch))])
    assert cut.digest() == whole.digest()


def test_a_model_of_windows_is_asked_once_a_link_has_ten_samples() -> None:
    batch = samples_of(repeated(600))
    state = _with((sealed(recalling(), "window", window=COMPACT), "champion"))
    result, alone = state.step(batch), NetworkState().step(batch)
    error, before = (np.asarray(one.outputs[NETWORK_SCORE].columns["error"])[700:, 0].mean() for one in (result, alone))
    assert error < 0.2 * before
    assert state.gauges()["forecast_model_failed"][0] == 2 * 9
    assert set(result.outputs[NETWORK_FORECAST].columns["model_version"][1000:]) == {f"{MODEL_VERSION}+window"}


def test_a_restored_state_goes_on_with_every_role(batch: Batch) -> None:
    shelf, state = Shelf(), NetworkState()
    announce(state, shelf, sealed(informed(), "old"))
    announce(state, shelf, sealed(recalling(), "new", window=COMPACT), "challenger")
    announce(state, shelf, sealed(misled(), "other"), "shadow")
    experiment(state, 50, "new")
    state.step(batch.take(0, 1000))
    restored = NetworkState()
    for piece in state.capture(whole=True):
        restored.load(piece)
    restored.use(shelf)
    rest = batch.take(1000, 1800)
    assert encoded([(0, restored.step(rest))]) == encoded([(0, state.step(rest))])
    assert restored.digest() == state.digest()
