"""The chosen heads as one ONNX graph: `x` `[n, 66]` to `probability` `[n, 1]` and `change` `[n, 5]`."""

from __future__ import annotations

import numpy as np
import onnx
from onnx.compose import add_prefix

from offline.training.bandwidth_graph import Graph
from offline.training.boosting import grown_on, trees_body
from offline.training.performance_model import LIMIT, Fitted, Lines, Scaler
from online_models.performance.input import CURRENT, MARGIN, MEAN_10, RATIO
from schemas.performance import HORIZON_STEPS


def performance_graph(breach: Fitted, change: Fitted, width: int) -> bytes:
    """The model's bytes.

    Parameters
    ----------
    breach, change
        The methods whose heads are taken, fitted to every step.
    width
        Inputs.
    """
    graph = Graph()
    score = _score(graph, breach, width)
    slope, intercept = (np.float32(value) for value in (breach.platt.slope, breach.platt.intercept))
    odds = graph.add("Add", graph.add("Mul", score, graph.constant(slope)), graph.constant(intercept))
    graph.add("Sigmoid", _within(graph, odds), output="probability")
    _write_change(graph, change, width)
    content: bytes = graph.model({"x": width}, {"probability": 1, "change": HORIZON_STEPS}).SerializeToString(
        deterministic=True
    )
    return content


def _score(graph: Graph, fitted: Fitted, width: int) -> str:
    if fitted.name == "persistence":
        return _column(graph, RATIO)
    if fitted.name == "moving_average":
        return graph.add("Sub", _ahead(graph), _column(graph, MARGIN))
    if isinstance(fitted.parts, Lines):
        lines = fitted.parts
        return _line(graph, lines.scaler, lines.breach[:, None], np.array([lines.breach_bias]))
    trees, _ = fitted.parts
    if trees is None:
        return graph.add("Mul", _column(graph, RATIO), graph.constant(np.float32(0)))
    return _body(graph, "breach/", trees_body(width, [grown_on(np.arange(width), trees)]))


def _write_change(graph: Graph, fitted: Fitted, width: int) -> None:
    if fitted.name == "persistence":
        graph.add(
            "Mul", _column(graph, CURRENT), graph.constant(np.zeros((1, HORIZON_STEPS), np.float32)), output="change"
        )
    elif fitted.name == "moving_average":
        graph.add("Mul", _ahead(graph), graph.constant(np.ones((1, HORIZON_STEPS), np.float32)), output="change")
    elif isinstance(fitted.parts, Lines):
        lines = fitted.parts
        graph.add("Identity", _line(graph, lines.scaler, lines.change, lines.change_bias), output="change")
    else:
        graph.add(
            "Identity",
            _body(graph, "change/", trees_body(width, [grown_on(np.arange(width), one) for one in fitted.parts[1]])),
            output="change",
        )


def _column(graph: Graph, at: int) -> str:
    return graph.add("Gather", "x", graph.constant(np.array([at])), axis=1)


def _ahead(graph: Graph) -> str:
    return graph.add("Sub", _column(graph, MEAN_10), _column(graph, CURRENT))


def _within(graph: Graph, value: str) -> str:
    limit = np.float32(LIMIT)
    return graph.add("Max", graph.add("Min", value, graph.constant(limit)), graph.constant(-limit))


def _line(graph: Graph, scaler: Scaler, weight: np.ndarray, bias: np.ndarray) -> str:
    centred = graph.add("Sub", "x", graph.constant(scaler.mean.astype(np.float32)))
    scaled = _within(graph, graph.add("Div", centred, graph.constant(scaler.std.astype(np.float32))))
    return graph.add("Gemm", scaled, graph.constant(weight.astype(np.float32)), graph.constant(bias.astype(np.float32)))


def _body(graph: Graph, prefix: str, body: onnx.ModelProto) -> str:
    inner = add_prefix(body, prefix).graph
    graph.add("Identity", "x", output=f"{prefix}z")
    graph.nodes += inner.node
    graph.constants += inner.initializer
    return f"{prefix}difference"
