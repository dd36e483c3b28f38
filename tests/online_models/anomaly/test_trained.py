"""Trained isolation forests in the worker: asked where announced, whatever the cut; without them nothing changes."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper

from offline.training.artifact import seal
from online_models.anomaly.state import SystemState
from online_models.anomaly.trained import INPUTS, TrainedForest
from online_models.onnx_model import OnnxModel
from schemas.batch import Control
from schemas.error import ModelError
from schemas.model import Manifest, ModelAnnouncement
from schemas.topic import SYSTEM_SCORE
from tests.online_models.stream import disturb, encoded, metric_stream, metrics, metrics_of, run_cut

STEPS = 400


def forest(version: str = "v1", features: tuple[str, ...] = INPUTS, output: str = "ratio") -> bytes:
    """An artifact whose ratio is the mean square of the deviations."""
    nodes = [helper.make_node("Mul", ["x", "x"], ["s"]),
             helper.make_node("ReduceMean", ["s"], [output], axes=[1], keepdims=0)]  # fmt: skip
    graph = helper.make_graph(
        nodes, "forest",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", len(features)])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["n"])],
    )  # fmt: skip
    content = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    said = Manifest(
        model_name="anomaly", model_version=version, feature_schema="f", feature_names=list(features),
        input_shape=[len(features)], outputs=[output], trained_at=3, training_from=1, training_to=2, training_rows=10,
        training_data_sha256="0" * 64, metrics={}, gates=[], library_versions={},
    )  # fmt: skip
    return seal(content, said, np.ones((4, len(features)), np.float32))


class Shelf(dict[str, OnnxModel]):
    """Models by hash; all are admitted."""

    def admits(self, announcement: ModelAnnouncement) -> bool:
        return True


def served(content: bytes) -> SystemState:
    """A state that has seen nothing but the announcement of this champion."""
    model = OnnxModel(content, INPUTS)
    state = SystemState()
    state.use(Shelf({model.sha256: model}))
    said = ModelAnnouncement(
        id="i", timestamp=1, model_name="anomaly", model_version=model.manifest.model_version, stage="champion",
        previous_stage=None, reason="", artifact="a", artifact_format="onnx", artifact_bytes=1,
        artifact_sha256=model.sha256, feature_schema="f", feature_schema_sha256="0" * 64, trained_at=3,
        training_from=1, training_to=2, training_rows=10, training_data_sha256="0" * 64, metrics={}, gates=[],
        library_versions={},
    )  # fmt: skip
    state.control(Control("model", msgspec.json.encode(said), b"dwcp.model.announcement.v1/0/1", 0, 1))
    return state


def many_a_little_off() -> list:
    """A node of which, at the end, every metric is a little off."""
    records = metric_stream(STEPS, 1, seed=5)
    last = records[-1]
    off = {name[2:]: 1.03 * getattr(last, name[2:]) for name in INPUTS}
    return [*records, *(metrics(last.timestamp + 5000 * k, **off) for k in range(1, 4))]


@pytest.mark.parametrize("seed", [1, 2])
def test_results_do_not_depend_on_the_cut(seed: int) -> None:
    batch = metrics_of(disturb(metric_stream(STEPS, 4)))
    whole = served(forest())
    assert run_cut(served(forest()), batch, seed) == encoded([(0, whole.step(batch))])
    assert whole.gauges()["anomaly_champion"] == (1.0, None)


def test_an_announced_forest_is_asked_and_named() -> None:
    batch = metrics_of(many_a_little_off())
    alone, asked = (state.step(batch).outputs[SYSTEM_SCORE].columns for state in (SystemState(), served(forest())))
    assert "isolation_forest" not in set(alone["detection_method"])
    assert "isolation_forest" in set(asked["detection_method"])


def test_one_that_fails_leaves_everything_as_without_it_and_is_counted() -> None:
    batch = metrics_of(many_a_little_off())
    state = served(forest(output="something_else"))
    ask = TrainedForest(OnnxModel(forest(output="something_else"), INPUTS))
    assert not ask.ask(np.ones((5, len(INPUTS)), np.float32)).any()
    assert int(ask.failed[0]) == 5
    assert set(state.step(batch).outputs[SYSTEM_SCORE].columns["detection_method"]) <= {
        "baseline", "half_space_trees", "warm_up",
    }  # fmt: skip
    assert state.gauges()["anomaly_forest_failed"][0] > 0


def test_one_of_other_features_is_refused() -> None:
    other = tuple(name[2:] for name in INPUTS)
    with pytest.raises(ModelError, match="--input deviations"):
        TrainedForest(OnnxModel(forest(features=other), other))


@pytest.mark.parametrize("n", [1, 2, 15, 16, 17, 100])
def test_a_row_is_answered_alike_in_any_company(n: int) -> None:
    rng = np.random.default_rng(1)
    z = rng.normal(size=(200, len(INPUTS))).astype(np.float32)
    ask = TrainedForest(OnnxModel(forest(), INPUTS)).ask
    np.testing.assert_array_equal(ask(z[:n]), ask(z)[:n])


def test_captured_states_ask_the_same_forest_again() -> None:
    batch = metrics_of(metric_stream(STEPS, 3))
    state = served(forest())
    state.step(batch.take(0, 600))
    copy = SystemState()
    for piece in state.capture(whole=True):
        copy.load(piece)
    assert copy.wanted() == state.wanted() != []
    model = OnnxModel(forest(), INPUTS)
    copy.use(Shelf({model.sha256: model}))
    rest = batch.take(600, len(batch))
    assert encoded([(0, copy.step(rest))]) == encoded([(0, state.step(rest))])
