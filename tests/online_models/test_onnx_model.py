"""What a worker loads: described, proven, and with the features it computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from offline.training.artifact import seal
from online_models.onnx_model import GOLDEN_KEY, MANIFEST_KEY, OnnxModel, open_session, pack, run_session, unpack
from schemas.error import FeatureMismatch, ModelError, ModelRejected
from schemas.model import Manifest

FEATURES = ["bandwidth", "latency"]


def linear(weight: list[float], operation: str = "MatMul", output: str = "score") -> bytes:
    """A graph that multiplies rows of two features with a weight."""
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["product"]), helper.make_node(operation, ["product"], [output])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None, 1])],
        [numpy_helper.from_array(np.array(weight, np.float32).reshape(2, 1), "weight")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    return model.SerializeToString()


def manifest(**changes: Any) -> Manifest:
    said: dict[str, Any] = {
        "model_name": "linear", "model_version": "1", "feature_schema": "two", "feature_names": FEATURES,
        "input_shape": [2], "outputs": ["score"], "trained_at": 3, "training_from": 1, "training_to": 2,
        "training_rows": 10, "training_data_sha256": "0" * 64, "metrics": {}, "gates": [], "library_versions": {},
    }  # fmt: skip
    return Manifest(**said | changes)


GOLDEN = np.array([[1.0, 2.0], [0.5, -1.0]], np.float32)


def with_metadata(sealed: bytes, **changes: str | None) -> bytes:
    graph = onnx.load_from_string(sealed)
    held = {entry.key: entry.value for entry in graph.metadata_props}
    held |= {key.replace("_", "."): value for key, value in changes.items() if value is not None}
    for key in [key.replace("_", ".") for key, value in changes.items() if value is None]:
        del held[key]
    del graph.metadata_props[:]
    helper.set_model_props(graph, held)
    return graph.SerializeToString()


def test_a_sealed_model_answers_and_says_what_it_is() -> None:
    model = OnnxModel(seal(linear([2.0, 3.0], "Identity"), manifest(), GOLDEN), FEATURES)
    assert model.predict(np.array([[1.0, 1.0]]))["score"].tolist() == [[5.0]]
    assert model.manifest == manifest()
    assert len(model.sha256) == 64


def test_sealing_twice_gives_the_same_bytes() -> None:
    content = linear([2.0, 3.0], "Identity")
    assert seal(content, manifest(), GOLDEN) == seal(content, manifest(), GOLDEN)


@pytest.mark.parametrize(
    ("features", "says"),
    [
        (["bandwidth"], "takes 2 features, 1 are computed"),
        (["latency", "bandwidth"], "feature 0 is 'bandwidth', ours is 'latency'"),
    ],
)
def test_other_features_are_refused(features: list[str], says: str) -> None:
    sealed = seal(linear([2.0, 3.0], "Identity"), manifest(), GOLDEN)
    with pytest.raises(FeatureMismatch, match=says):
        OnnxModel(sealed, features)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"dwcp_manifest": None}, "no manifest"),
        ({"dwcp_manifest": "{"}, "manifest does not decode"),
        ({"dwcp_golden": None}, "golden vectors are missing"),
        ({"dwcp_golden": "AAAA"}, "golden vectors are missing or damaged"),
        ({"dwcp_golden_score": pack(np.array([[8.0], [-2.1]], np.float32))}, "'score' differs"),
        ({"dwcp_golden_score": pack(np.zeros((2, 2), np.float32))}, "no output 'score' of shape"),
        ({"dwcp_golden": pack(np.zeros((2, 3), np.float32))}, "the manifest says"),
    ],
)
def test_a_model_that_does_not_prove_itself_is_refused(changes: dict[str, str | None], says: str) -> None:
    sealed = seal(linear([2.0, 3.0], "Identity"), manifest(), GOLDEN)
    with pytest.raises(ModelRejected, match=says):
        OnnxModel(with_metadata(sealed, **changes), FEATURES)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x04\x95pickle"])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(ModelRejected, match="cannot load it"):
        OnnxModel(content, FEATURES)


def test_an_answer_that_is_not_a_number_is_its_row_s_alone() -> None:
    model = OnnxModel(seal(linear([1.0, 1.0], "Log"), manifest(), np.ones((1, 2), np.float32)), FEATURES)
    x = np.array([[1.0, 0.0], [-1.0, -1.0], [0.0, 0.0]])
    assert np.isnan(model.predict(x)["score"][:, 0]).tolist() == [False, True, True]


def test_golden_answers_that_are_not_numbers_refuse_the_model() -> None:
    sealed = seal(linear([1.0, 1.0], "Log"), manifest(), -np.ones((1, 2), np.float32))
    with pytest.raises(ModelRejected, match="cannot answer its golden vectors"):
        OnnxModel(sealed, FEATURES)


def test_rows_of_another_shape_are_an_error_not_a_crash() -> None:
    session = open_session(linear([1.0, 1.0], "Identity"))
    with pytest.raises(ModelError, match=r"failed on \(1, 3\)"):
        run_session(session, np.zeros((1, 3)))


def test_arrays_survive_packing() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    assert np.array_equal(unpack(pack(array)), array)


def test_the_schema_hash_depends_on_order() -> None:
    assert manifest().feature_schema_sha256 != manifest(feature_names=FEATURES[::-1]).feature_schema_sha256
    assert {MANIFEST_KEY, GOLDEN_KEY} == {"dwcp.manifest", "dwcp.golden"}
