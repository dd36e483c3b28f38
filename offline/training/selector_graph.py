"""ONNX graphs of selectors: from the 19 raw features to the calibrated probability of AMST.

::

    x ──> logs, imputation, scaling, one-hot ──> z ──> body ──> logit / temperature ──> probability_amst
    [n, 19]                                      [n, 47]        [n, 1]                  [n]

Training reads `z` from this graph too: what serves is what was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from offline.training.tree import DOMAIN, OPERATION, boosted_trees, ensemble_attributes
from online_models.onnx_model import open_session, run_session
from schemas.compression import FEATURES, CompressionTelemetry
from schemas.constraint import checks_of
from schemas.field import LINK_TYPES, PAYLOAD_TYPES

F32 = NDArray[np.float32]

OUTPUT: Final = "probability_amst"
OPSET: Final = 17
ML_OPSET: Final = 3
_IR: Final = 8
_REGIONS: Final = 8
_FAR: Final = 8.0
_LEAST: Final = 1e-6

_LOGGED: Final = (
    "bandwidth_available_mbps", "rtt_ms", "payload_size", "hde_compression_ratio", "hde_latency_ms", "hde_cpu_usage",
    "amst_stream_count", "amst_transfer_rate_mbps", "amst_latency_ms", "amst_cpu_usage",
)  # fmt: skip
_PLAIN: Final = (
    "network_tier", "bandwidth_utilization", "has_baseline", "entropy_estimate", "repetition_score",
    "hde_delta_hit_rate",
)  # fmt: skip
_NULLABLE: Final = tuple(c.field for c in checks_of(CompressionTelemetry) if c.nullable and c.field in FEATURES)
_UTILITY: Final = {
    "amst_transfer_rate_mbps": 1.0, "amst_latency_ms": -1.0, "amst_cpu_usage": -1.0,
    "hde_compression_ratio": -1.0, "hde_latency_ms": 1.0, "hde_cpu_usage": 1.0,
}  # fmt: skip
"""Signs of the logarithms in that of AMST's utility over HDE's, by history; the constant goes with the scaling."""

INPUTS: Final = (
    *(f"log1p_{name}" for name in _LOGGED),
    *_PLAIN,
    "log_utility_ratio",
    *(f"missing_{name}" for name in _NULLABLE),
    *(f"link_type_{name}" for name in LINK_TYPES),
    *(f"payload_{name}_{there}" for name in PAYLOAD_TYPES for there in ("fresh", "delta")),
    *(f"region_{k}" for k in range(_REGIONS)),
)
"""What the body sees, `z` `[n, 47]`."""

NUMBERS: Final = len(_LOGGED) + len(_PLAIN) + 1
"""How many of these are imputed and scaled."""


class Scaling(NamedTuple):
    """Mean and deviation of the numbers in training, float32 `[17]`; a missing number is its mean."""

    mean: F32
    deviation: F32


class Body(NamedTuple):
    """The trained part: nodes from `z` `[n, 47]` to `logit` `[n, 1]`, and their constants by name."""

    nodes: list[onnx.NodeProto]
    constants: dict[str, NDArray[Any]]


def fit_scaling(x: F32) -> Scaling:
    """Scaling of raw features `[n, 19]`."""
    plain = Scaling(np.zeros(NUMBERS, np.float32), np.ones(NUMBERS, np.float32))
    numbers = _run(x, plain, "numbers", NUMBERS).astype(np.float64)
    there = np.isfinite(numbers)
    count = np.maximum(there.sum(axis=0), 1)
    mean = np.where(there, numbers, 0.0).sum(axis=0) / count
    deviation = np.sqrt((np.where(there, numbers - mean, 0.0) ** 2).sum(axis=0) / count)
    return Scaling(mean.astype(np.float32), np.where(deviation > 0.0, deviation, 1.0).astype(np.float32))


def transform(x: F32, scaling: Scaling) -> F32:
    """`z` of raw features, by the very nodes that serve."""
    return _run(x, scaling, "z", len(INPUTS))


def build(scaling: Scaling, body: Body, temperature: float) -> bytes:
    """The whole model.

    Parameters
    ----------
    scaling
        Of the training part.
    body
        The trained part.
    temperature
        The logits are divided by it.
    """
    nodes, constants = _front(scaling)
    constants |= body.constants | {"temperature": np.array(temperature, np.float32), "flat": np.array([-1], np.int64)}
    nodes += body.nodes
    nodes += [
        helper.make_node("Div", ["logit", "temperature"], ["cooled"]),
        helper.make_node("Sigmoid", ["cooled"], ["probability"]),
        helper.make_node("Reshape", ["probability", "flat"], [OUTPUT]),
    ]
    found: bytes = _model(nodes, constants, OUTPUT, None).SerializeToString()
    return found


def layers(weights: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> Body:
    """Dense layers, `(weight [in, out], bias [out])` each, ReLU between them; of two outputs the difference counts."""
    nodes: list[onnx.NodeProto] = []
    constants: dict[str, NDArray[Any]] = {}
    last = "z"
    for k, (weight, bias) in enumerate(weights):
        constants |= {f"w{k}": weight.astype(np.float32), f"b{k}": bias.astype(np.float32)}
        final = k == len(weights) - 1
        name = "logit" if final and weight.shape[1] == 1 else f"layer{k}"
        nodes.append(helper.make_node("Gemm", [last, f"w{k}", f"b{k}"], [name]))
        last = name
        if not final:
            nodes.append(helper.make_node("Relu", [name], [f"relu{k}"]))
            last = f"relu{k}"
    if last != "logit":
        constants["amst_minus_hde"] = np.array([[-1.0], [1.0]], np.float32)
        nodes.append(helper.make_node("MatMul", [last, "amst_minus_hde"], ["logit"]))
    return Body(nodes, constants)


def trees(predictors: Sequence[Any], base: float) -> Body:
    """Boosted trees of scikit-learn's histogram kind, one operation."""
    attributes = ensemble_attributes(boosted_trees(predictors), [base])
    return Body([helper.make_node(OPERATION, ["z"], ["logit"], domain=DOMAIN, **attributes)], {})


def _run(x: F32, scaling: Scaling, output: str, width: int) -> F32:
    model = _model(*_front(scaling), output, width)
    found: F32 = run_session(open_session(model.SerializeToString()), x)[output]
    return found


def _front(scaling: Scaling) -> tuple[list[onnx.NodeProto], dict[str, NDArray[Any]]]:
    """Nodes from `x` to `z`."""
    constants: dict[str, NDArray[Any]] = {
        "logged_at": _at(_LOGGED), "plain_at": _at(_PLAIN), "nullable_at": _at(_NULLABLE),
        "one": np.array(1, np.float32), "two": np.array(2, np.float32),
        "least": np.array(_LEAST, np.float32), "utility_at": _at(tuple(_UTILITY)),
        "signs": np.array([[sign] for sign in _UTILITY.values()], np.float32),
        "mean": scaling.mean, "deviation": scaling.deviation,
        "far": np.array(_FAR, np.float32), "near": np.array(-_FAR, np.float32),
        "links": np.arange(len(LINK_TYPES), dtype=np.float32),
        "payloads": np.arange(2 * len(PAYLOAD_TYPES), dtype=np.float32),
        "regions": np.arange(_REGIONS, dtype=np.float32), "modulus": np.array(_REGIONS, np.float32),
    }  # fmt: skip
    nodes: list[onnx.NodeProto] = []

    def add(operation: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def column(name: str) -> str:
        constants[f"{name}_at"] = _at((name,))
        return add("Gather", ["x", f"{name}_at"], name, axis=1)

    add("Log", [add("Add", [add("Gather", ["x", "logged_at"], "logged", axis=1), "one"], "logged1")], "logs")
    add("Gather", ["x", "plain_at"], "plain", axis=1)
    parts = add("Max", [add("Gather", ["x", "utility_at"], "parts", axis=1), "least"], "positive")
    add("MatMul", [add("Log", [parts], "log_parts"), "signs"], "ratio")
    add("Concat", ["logs", "plain", "ratio"], "numbers", axis=1)
    add("Where", [add("IsNaN", ["numbers"], "absent"), "mean", "numbers"], "imputed")
    add("Div", [add("Sub", ["imputed", "mean"], "centred"), "deviation"], "scaled")
    add("Clip", ["scaled", "near", "far"], "limited")
    add("Cast", [add("IsNaN", [add("Gather", ["x", "nullable_at"], "nullable", axis=1)], "unknown")], "missing", to=1)
    add("Cast", [add("Equal", [column("link_type"), "links"], "link_is")], "link", to=1)
    kind = add("Add", [add("Mul", [column("payload_type"), "two"], "doubled"), column("has_baseline")], "kind")
    add("Cast", [add("Equal", [kind, "payloads"], "payload_is")], "payload", to=1)
    bucket = add("Mod", [column("region"), "modulus"], "bucket", fmod=1)
    add("Cast", [add("Equal", [bucket, "regions"], "region_is")], "regional", to=1)
    add("Concat", ["limited", "missing", "link", "payload", "regional"], "z", axis=1)
    return nodes, constants


def _at(names: Sequence[str]) -> NDArray[np.int64]:
    return np.array([FEATURES.index(name) for name in names], np.int64)


def _model(
    nodes: list[onnx.NodeProto], constants: dict[str, NDArray[Any]], output: str, width: int | None
) -> onnx.ModelProto:
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        "selector",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, len(FEATURES)])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] if width is None else [None, width])],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR)
