"""A champion decides where it is sure; whatever happens to it, every transfer is answered."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from msgspec import Struct

from online_models.experiment.arm import arms_of
from online_models.selector.state import MODEL_VERSION, CompressionState
from schemas.batch import Batch, Control, object_column
from schemas.compression import FEATURES
from schemas.error import ModelError
from schemas.experiment import ExperimentState
from schemas.model import ModelAnnouncement
from schemas.topic import COMPRESSION_PREDICTION
from tests.online_models.stream import encoded, run_cut, transfer_stream, transfers_of
from tests.online_models.test_served import announcement, control


class Said(Struct):
    model_name: str = "selector"
    model_version: str = "v7"
    feature_names: tuple[str, ...] = FEATURES


class Rule:
    """AMST where the rate was high lately, sure of it or not; or a failure."""

    def __init__(self, sure: float = 0.9, fails: Any = None, output: str = "probability_amst") -> None:
        self.manifest, self.sure, self.fails, self.output, self.calls = Said(), sure, fails, output, 0

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        self.calls += 1
        if self.fails is not None:
            raise self.fails
        fast = x[:, FEATURES.index("amst_transfer_rate_mbps")] > 100.0
        return {self.output: np.where(fast, self.sure, 1.0 - self.sure).astype(np.float32)}


def _transfers(n: int) -> Batch:
    """Transfers, some of which have no request id."""
    batch = transfers_of(transfer_stream(n))
    batch.columns["request_id"] = object_column([f"req-{k}" if k % 10 else "" for k in range(n)])
    return batch


def _made(state: CompressionState, n: int = 600) -> Any:
    return state.step(_transfers(n)).outputs[COMPRESSION_PREDICTION].columns


def test_a_sure_champion_decides_from_the_first_transfer_on() -> None:
    champion = Rule()
    made = _made(CompressionState(champion=champion))
    assert champion.calls == 1
    assert set(made["model_name"]) == {"selector"}
    assert set(made["model_version"]) == {"v7"}
    assert not made["fallback"].any()
    assert set(np.round(made["probability_amst"], 6)) == {0.9, 0.1}
    assert ((made["algorithm"] == "AMST") == (made["probability_amst"] > 0.5)).all()


@pytest.mark.parametrize(
    ("champion", "reason"),
    [(Rule(fails=ModelError("no answer")), "model_error"), (Rule(output="other"), "model_error"),
     (Rule(sure=0.55), "low_confidence")],
)  # fmt: skip
def test_without_the_champion_the_online_model_answers_then_the_heuristic(champion: Rule, reason: str) -> None:
    made = _made(CompressionState(champion=champion, ready_after=300))
    assert len(made["algorithm"]) == 600
    assert made["fallback"].all()
    assert set(made["fallback_reason"]) == {reason}
    assert set(made["model_name"][:300]) == {"heuristic"}
    assert set(made["model_name"][300:]) == {"heuristic", "utility"}
    expected = _made(CompressionState(ready_after=300))
    np.testing.assert_array_equal(made["algorithm"], expected["algorithm"])


class Partly(Rule):
    """One that has no answer to some rows, or fails on them."""

    def predict(self, x: np.ndarray) -> dict[str, np.ndarray]:
        void = x[:, FEATURES.index("rtt_ms")] * 1e3 % 7 < 2
        if self.fails is not None and void.any():
            raise self.fails
        found = Rule(self.sure).predict(x)
        found[self.output][void] = np.nan
        return found


@pytest.mark.parametrize("fails", [None, ModelError("not these")])
@pytest.mark.parametrize("seed", [1, 2])
def test_rows_without_an_answer_fall_back_alone_whatever_the_cut(fails: Any, seed: int) -> None:
    whole = CompressionState(champion=Partly(fails=fails)).step(_transfers(600))
    made = whole.outputs[COMPRESSION_PREDICTION].columns
    failed = made["fallback_reason"] == "model_error"
    assert 50 < np.count_nonzero(failed) < 550
    assert (made["fallback"] == failed).all()
    assert set(made["model_name"][~failed]) == {"selector"}
    assert "selector" not in set(made["model_name"][failed])
    assert run_cut(CompressionState(champion=Partly(fails=fails)), _transfers(600), seed) == encoded([(0, whole)])


def test_a_champion_of_other_features_is_refused() -> None:
    champion = Rule()
    champion.manifest = Said(feature_names=FEATURES[::-1])
    with pytest.raises(ModelError, match="features"):
        CompressionState(champion=champion)


class Two(dict[str, Any]):
    """A shelf of models by hash."""

    def admits(self, said: ModelAnnouncement) -> bool:
        return said.artifact_sha256 in self or said.stage == "retired"


def _announce(state: CompressionState, version: str, sha256: str, stage: str) -> None:
    state.control(control(announcement(version, sha256, stage)))


def _serving(**models: Any) -> CompressionState:
    """A state in which these versions were announced: `champion="v1"` and so on."""
    state = CompressionState()
    shelf = Two()
    state.use(shelf)
    for k, (stage, version) in enumerate(models.items(), 1):
        rule = Rule(sure=0.5 + k / 10)
        rule.manifest = Said(model_version=version)
        shelf[str(k) * 64] = rule
        _announce(state, version, str(k) * 64, stage)
    return state


def _experiment(state: CompressionState, status: str, ramp_pct: int = 50) -> None:
    said = ExperimentState(
        "exp-1/1", 1, "exp-1", status, ramp_pct, "selector", "v1", "v2", "throughput_mbps", 1, 1, 0, 0, 10_000, 0
    )  # type: ignore[arg-type]
    state.control(Control("experiment", msgspec.json.encode(said), b"e/0/0", 0, 0))


def test_an_announced_champion_decides_from_then_on_and_a_retired_one_no_more() -> None:
    assert "v1" not in set(_made(_serving(champion="v1"))["model_version"]), "at .6 it is not sure enough"
    state = _serving(shadow="v0", champion="v1")
    assert set(_made(state)["model_version"]) == {"v1"}
    _announce(state, "v1", "2" * 64, "retired")
    assert set(_made(state, 20)["model_version"]) <= {MODEL_VERSION, "rules-1"}


def test_a_shadow_is_asked_and_decides_nothing() -> None:
    made, alone = _made(_serving(shadow="v0")), _made(CompressionState())
    assert set(made["shadow_version"]) == {"v0"}
    assert set(np.round(made["shadow_probability_amst"], 6)) == {0.6, 0.4}
    assert (made["algorithm"] == alone["algorithm"]).all()
    assert np.isnan(alone["shadow_probability_amst"]).all()


def test_the_challenger_decides_for_its_arm_while_the_experiment_runs() -> None:
    state = _serving(shadow="v0", champion="v1", challenger="v2")
    assert set(_made(state)["experiment_arm"]) == {""}
    _experiment(state, "running")
    made = _made(state)
    arm = arms_of(list(made["request_id"]), 50)
    assert set(arm) == {-1, 0, 1}
    assert (made["experiment_id"] == np.where(arm < 0, "", "exp-1")).all()
    assert (made["experiment_arm"] == np.array(["control", "treatment", ""])[arm]).all()
    assert (made["model_version"] == np.where(arm == 1, "v2", "v1")).all()
    _experiment(state, "passed")
    assert set(_made(state, 20)["experiment_arm"]) == {""}


def test_an_experiment_on_another_version_changes_nothing() -> None:
    state = _serving(shadow="v0", champion="v1", challenger="v3")
    _experiment(state, "running")
    assert set(_made(state)["model_version"]) == {"v1"}


def test_models_and_experiments_survive_a_restart() -> None:
    state = _serving(shadow="v0", champion="v1", challenger="v2")
    _experiment(state, "running")
    restored = CompressionState()
    for piece in state.capture(whole=True):
        restored.load(piece)
    assert sorted(restored.wanted()) == sorted(state.wanted())
    restored.use(state._trained.served._shelf)
    batch = _transfers(600)
    assert encoded([(0, restored.step(batch))]) == encoded([(0, state.step(batch))])


@pytest.mark.parametrize("cut", [1, 7, 100])
def test_arms_do_not_depend_on_the_cut(cut: int) -> None:
    def state() -> CompressionState:
        made = _serving(shadow="v0", champion="v1", challenger="v2")
        _experiment(made, "running")
        return made

    batch = _transfers(400)
    assert run_cut(state(), batch, cut) == encoded([(0, state().step(batch))])


def test_answers_do_not_depend_on_the_cut() -> None:
    batch = transfers_of(transfer_stream(1500))
    assert run_cut(CompressionState(champion=Rule()), batch, 1) == encoded(
        [(0, CompressionState(champion=Rule()).step(batch))]
    )


def test_the_champion_does_not_stop_the_online_model_from_learning() -> None:
    with_one, without = CompressionState(champion=Rule()), CompressionState()
    _made(with_one)
    _made(without)
    np.testing.assert_array_equal(with_one.model.regressions, without.model.regressions)
