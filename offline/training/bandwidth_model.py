"""The forecasters that can be trained, from a trace to one ONNX graph each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray

from offline.training.bandwidth_graph import Scaler, expert_graph, input_graph, whole_graph
from offline.training.bandwidth_input import Rows, make_input, make_target
from offline.training.bandwidth_trace import BARS, Trace
from offline.training.course import Course
from offline.training.ridge import fit_ridge
from online_models.bandwidth.trained_input import COMPACT, ENHANCED, NEWEST, Window
from online_models.bandwidth.vote import BOUNDS
from online_models.onnx_model import open_session, run_session
from schemas.error import ConfigError

WINDOWS: Final = {
    **dict.fromkeys((*BARS, "ridge", "boosting"), NEWEST),
    "lstm": COMPACT,
    "lstm-attention": ENHANCED,
}
"""What each forecaster is asked with; the order is that of reports."""

TRAINED: Final = tuple(name for name in WINDOWS if name not in BARS)
REFITTED: Final = ("boosting",)
"""Learns from validation as well, once that has chosen it and said how large it is to be."""

NETWORKS: Final = ("lstm", "lstm-attention")

_CHUNK: Final = 4096

F32 = NDArray[np.float32]
Say = Callable[[str], None]


class Fitted(NamedTuple):
    """A forecaster: its graph, and the losses of its epochs where it had any."""

    name: str
    window: Window
    content: bytes
    training_loss: list[float]
    validation_loss: list[float]


def fit_model(
    name: str,
    trace: Trace,
    training: Rows,
    validation: Rows,
    course: Course,
    say: Say,
    *,
    refit: bool = False,
    bounds: NDArray[np.float64] = BOUNDS,
) -> Fitted:
    """Fit a forecaster on the training rows; validation rows decide when it stops.

    Parameters
    ----------
    refit
        Then fit one of `REFITTED` once more, of that size, on both.
    bounds
        Least and greatest value of each target, `[4, 2]`.

    Raises
    ------
    ConfigError
        When the libraries it takes are not installed.
    """
    window = WINDOWS[name]
    if name in BARS:
        return Fitted(name, window, expert_graph(window, name.replace("-", "_"), bounds), [], [])
    scaler = fit_scaler(trace, window, training)
    session = open_session(input_graph(window, scaler).SerializeToString())
    z, z_validation = (_answers(session, trace, window, row, "z") for row in (training, validation))
    y, y_validation = make_target(trace, training), make_target(trace, validation)
    losses: tuple[list[float], list[float]] = ([], [])
    if name == "ridge":
        body = fit_ridge(z, y, z_validation, y_validation)
    elif name == "boosting":
        body = _boosting(z, y, z_validation, y_validation, course.seed, say, refit)
    else:
        body, losses = _network(name, z, y, z_validation, y_validation, course, say)
    return Fitted(name, window, whole_graph(window, scaler, body, bounds), *losses)


def fit_scaler(trace: Trace, window: Window, training: Rows) -> Scaler:
    """Mean and spread of each relative column over the training rows and no others."""
    session = open_session(input_graph(window, None).SerializeToString())
    return Scaler.fit(_answers(session, trace, window, training, "z"))


def forecast_rows(fitted: Fitted, trace: Trace, row: Rows) -> NDArray[np.float64]:
    """Its forecasts of rows in the targets' units, `[len(row), 4]`, by onnxruntime."""
    return _answers(open_session(fitted.content), trace, fitted.window, row, "forecast").astype(np.float64)


def _answers(session: Any, trace: Trace, window: Window, row: Rows, output: str) -> F32:
    """One output for rows, some thousands at a time."""
    pieces = [
        run_session(session, make_input(trace, window, row[first : first + _CHUNK]))[output]
        for first in range(0, len(row), _CHUNK)
    ]
    return np.concatenate(pieces)


def _boosting(
    z: F32, y: F32, z_validation: F32, y_validation: F32, seed: int, say: Say, refit: bool
) -> onnx.ModelProto:
    try:
        from offline.training.boosting import fit_boosting, trees_body
    except ImportError as exc:
        raise missing_extra("boosting", exc) from exc
    return trees_body(z.shape[1], fit_boosting(z, y, z_validation, y_validation, seed, say, refit))


def _network(
    name: str, z: F32, y: F32, z_validation: F32, y_validation: F32, course: Course, say: Say
) -> tuple[onnx.ModelProto, tuple[list[float], list[float]]]:
    try:
        from offline.training.lstm import export_network
        from offline.training.lstm_fit import fit_network
    except ImportError as exc:
        raise missing_extra(name, exc) from exc
    network, history = fit_network(name, WINDOWS[name], z, y, z_validation, y_validation, course, say)
    return export_network(network, z.shape[1]), (history.training, history.validation)


def missing_extra(name: str, exc: ImportError) -> ConfigError:
    """What to say when a library of the `train` extra is not there."""
    allowed = f"trainable once the extra is there: pip install 'dwcp-streams[train]' ({exc})"
    return ConfigError("--model", name, allowed)
