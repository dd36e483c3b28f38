"""ONNX graphs of forecasters: relative inputs and scaler before the model, units and bounds after it.

::

    x ──> z = (relative(x) - mean) / std ──> model ──> difference ──> level + scale * difference ──> forecast
                                             [n, D]    [n, 4]        within each target's bounds     [n, 4]

`relative` makes values of a target differences to the row's level in units of its scale, so
that links of 80 Mbps and of 10 Gbps, and a link before and after a shift, look alike.
Training reads `z` from this graph too: what serves is what was trained. Models of the newest sample are told the
target's minute of the hour as well: scheduled work comes to the minute, and in the minute of the day trees would have
to find every hour of it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import ArrayLike, NDArray
from onnx import TensorProto, helper, numpy_helper
from onnx.compose import add_prefix

from offline.training.bandwidth_input import CLIP
from online_models.bandwidth.expert import EXPERTS
from online_models.bandwidth.trained_input import (
    CALENDAR,
    COMPACT,
    COMPACT_UNITS,
    CONTEXT_NAMES,
    LEVEL_AT,
    NEWEST,
    SCALE_AT,
    STATELESS,
    Window,
)
from schemas.network import TARGETS

OPSET: Final = 17
ML_OPSET: Final = 3
_IR: Final = 8
_FAR: Final = np.float32(1e30)
_LEAST: Final = np.float32(1e-20)
_MINUTE: Final = CONTEXT_NAMES.index("target_minute_of_day")
_HEAVY: Final = ("retransmits", "congestion_window", "queue_depth", "bytes_total", "bytes_ratio", "network_load")
_SHORT: Final = dict(
    zip(("throughput", "rtt", "loss", "jitter", "bandwidth", "latency"), (0, 1, 2, 3, 0, 1), strict=True)
)

F32 = NDArray[np.float32]


class Columns(NamedTuple):
    """How each column of an input becomes relative, `[d]` each.

    `z = (x * unit - x[minus]) / x[over]`, where columns `d` and `d + 1` stand for 0 and 1,
    kept within `limit`; `log1p(x)` where `heavy`.
    """

    unit: F32
    minus: NDArray[np.int64]
    over: NDArray[np.int64]
    limit: F32
    heavy: NDArray[np.bool_]


def relative_columns(window: Window) -> Columns:
    """The columns of a model's input: values of a target against its level, changes in its scale, the rest as it is."""
    names = window.input_names
    d = len(names)
    found = Columns(np.ones(d, np.float32), np.full(d, d), np.full(d, d + 1), np.full(d, _FAR), np.zeros(d, np.bool_))
    for k, name in enumerate(names):
        feature, _, age = name.partition("@")
        if age and window.features == COMPACT.features:
            found.unit[k] = COMPACT_UNITS[COMPACT.features.index(feature)]
        m, is_level = _target_of(feature, k)
        if m is not None:
            found.limit[k] = CLIP
            found.minus[k] = LEVEL_AT + m if is_level else d
            found.over[k] = LEVEL_AT + m if SCALE_AT <= k < SCALE_AT + 4 else SCALE_AT + m
        found.heavy[k] = feature in _HEAVY
    return found


def _target_of(feature: str, at: int) -> tuple[int | None, bool]:
    """Which target a column is in the unit of, and whether it is a value of it rather than a difference."""
    if at < SCALE_AT:
        return at % 4, True
    if at < SCALE_AT + 4:
        return at - SCALE_AT, False
    if feature in CALENDAR:
        return None, False
    if feature in TARGETS:
        return TARGETS.index(feature), True
    short, _, rest = feature.partition("_")
    if short not in _SHORT or (rest and not rest.startswith(("mean", "change"))):
        return None, False
    return _SHORT[short], rest != "change"


def expert_column(name: str) -> int:
    """Where an expert's four values begin in the context."""
    return 4 * STATELESS.index(EXPERTS.index(name))


class Scaler(NamedTuple):
    """Mean and standard deviation of each relative column over the training part, `[d]`."""

    mean: F32
    std: F32

    @classmethod
    def fit(cls, relative: F32) -> Scaler:
        """Of the rows given, and so of the training part; columns that never change are only centred."""
        mean = relative.mean(axis=0, dtype=np.float64)
        std = relative.std(axis=0, dtype=np.float64)
        std = np.where(std > 1e-6 * np.maximum(1.0, np.abs(mean)), std, 1.0)
        return cls(mean.astype(np.float32), std.astype(np.float32))


class Graph:
    """Nodes and constants of a graph that is being written; names are given out."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: ArrayLike) -> str:
        """Name of a constant."""
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def add(self, op: str, *inputs: str, output: str = "", **attributes: object) -> str:
        """Name of an operation's output."""
        name = output or f"value_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], name=f"{op}_{len(self.nodes)}", **attributes))
        return name

    def model(self, inputs: dict[str, int], outputs: dict[str, int]) -> onnx.ModelProto:
        """The whole graph; inputs and outputs are float32 `[n, width]`."""
        graph = helper.make_graph(
            self.nodes, "forecaster", [_matrix(*i) for i in inputs.items()], [_matrix(*o) for o in outputs.items()],
            self.constants,
        )  # fmt: skip
        return _finish(graph)


def input_graph(window: Window, scaler: Scaler | None) -> onnx.ModelProto:
    """`x` to `z`; without a scaler to what one is fitted on."""
    graph = Graph()
    _write_input(graph, window, scaler)
    d = len(window.input_names)
    return graph.model({"x": d}, {"z": d + (window is NEWEST)})


def whole_graph(window: Window, scaler: Scaler, body: onnx.ModelProto, bounds: NDArray[np.float64]) -> bytes:
    """`x` to `forecast` in the targets' units.

    Parameters
    ----------
    body
        From `z` `[n, d]` to `difference` `[n, 4]`.
    bounds
        Least and greatest value of each target, `[4, 2]`.
    """
    graph = Graph()
    _write_input(graph, window, scaler)
    inner = add_prefix(body, "body/", rename_inputs=False, rename_outputs=False).graph
    graph.nodes += inner.node
    graph.constants += inner.initializer
    level = graph.add("Gather", "x", graph.constant(np.arange(LEVEL_AT, LEVEL_AT + 4)), axis=1)
    scale = graph.add("Gather", "x", graph.constant(np.arange(SCALE_AT, SCALE_AT + 4)), axis=1)
    _write_bounds(graph, graph.add("Add", level, graph.add("Mul", scale, "difference")), bounds)
    content: bytes = graph.model({"x": len(window.input_names)}, {"forecast": 4}).SerializeToString(deterministic=True)
    return content


def expert_graph(window: Window, expert: str, bounds: NDArray[np.float64]) -> bytes:
    """`x` to `forecast` by one expert of the context: the bars, as models."""
    graph = Graph()
    at = expert_column(expert)
    _write_bounds(graph, graph.add("Gather", "x", graph.constant(np.arange(at, at + 4)), axis=1), bounds)
    content: bytes = graph.model({"x": len(window.input_names)}, {"forecast": 4}).SerializeToString(deterministic=True)
    return content


def linear_body(weight: F32, bias: F32) -> onnx.ModelProto:
    """`z` `[n, d]` to `difference` by one matrix `[d, 4]`."""
    graph = Graph()
    graph.add("Gemm", "z", graph.constant(weight), graph.constant(bias), output="difference")
    return graph.model({"z": len(weight)}, {"difference": 4})


def _write_input(graph: Graph, window: Window, scaler: Scaler | None) -> None:
    columns = relative_columns(window)
    d = len(columns.unit)
    scaled = graph.add("Mul", "x", graph.constant(columns.unit))
    padding = np.array([[0, 0, 0, 2]]).ravel()
    wide = graph.add("Pad", scaled, graph.constant(padding), graph.constant(np.float32(0)))
    unity = np.zeros(d + 2, np.float32)
    unity[d + 1] = 1.0
    wide = graph.add("Add", wide, graph.constant(unity))
    minus = graph.add("Gather", wide, graph.constant(columns.minus), axis=1)
    over = graph.add("Gather", wide, graph.constant(columns.over), axis=1)
    over = graph.add("Max", over, graph.constant(_LEAST))
    value = graph.add("Div", graph.add("Sub", scaled, minus), over)
    value = graph.add("Max", graph.add("Min", value, graph.constant(columns.limit)), graph.constant(-columns.limit))
    positive = graph.add("Max", scaled, graph.constant(np.float32(0)))
    logged = graph.add("Log", graph.add("Add", positive, graph.constant(np.float32(1))))
    parts = [graph.add("Where", graph.constant(columns.heavy), logged, value)]
    if window is NEWEST:
        minute = graph.add("Gather", "x", graph.constant(np.array([_MINUTE])), axis=1)
        parts.append(graph.add("Mod", minute, graph.constant(np.float32(60)), fmod=1))
    value = graph.add("Concat", *parts, axis=1, output="z" if scaler is None else "")
    if scaler is None:
        return
    value = graph.add("Div", graph.add("Sub", value, graph.constant(scaler.mean)), graph.constant(scaler.std))
    limit = np.float32(CLIP)
    graph.add("Max", graph.add("Min", value, graph.constant(limit)), graph.constant(-limit), output="z")


def _write_bounds(graph: Graph, value: str, bounds: NDArray[np.float64]) -> None:
    lower, upper = (np.clip(bounds[:, k], -_FAR, _FAR).astype(np.float32) for k in range(2))
    graph.add("Max", graph.add("Min", value, graph.constant(upper)), graph.constant(lower), output="forecast")


def _matrix(name: str, width: int) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])


def _finish(graph: onnx.GraphProto) -> onnx.ModelProto:
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="dwcp-streams")
