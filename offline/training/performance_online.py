"""The worker's own online predictor over a data set, for comparison with what is trained."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.collector.buffer import buffer_fields
from online_models.collector.feature import N_FEATURES, RANKED_MAX
from online_models.performance.input import CONTEXT, MOMENT, STEPS, input_names, observe, write_input
from online_models.performance.mixture import N_OPINIONS, new_mix
from online_models.performance.model import (
    BREACH,
    SCORE,
    new_breach,
    open_breach,
    pending_fields,
    predict_breach,
    predict_change,
    remember,
    settle,
    start_node,
)
from online_models.slot import row_dtype
from schemas.performance import HORIZON_STEPS

ONLINE: Final = "online"
_WINDOW: Final = 64


class Streamed(NamedTuple):
    """What it said after each sample: probabilities `[n]`, values at the end of the horizon `[n]`."""

    time_ms: NDArray[np.int64]
    probability: NDArray[np.float64]
    value: NDArray[np.float64]


def stream_series(
    time_ms: NDArray[np.int64], values: NDArray[np.float64], objective: float, horizon: int = HORIZON_STEPS
) -> Streamed:
    """Predict and learn through one series.

    Parameters
    ----------
    time_ms
        Increasing, `[n]`.
    values
        The target, `[n]`.
    objective
        What it must not exceed.
    horizon
        In samples.
    """
    return stream_nodes(time_ms, np.zeros(len(time_ms), np.int64), values[:, None], objective, horizon)


def stream_nodes(
    time_ms: NDArray[np.int64],
    node: NDArray[np.int64],
    values: NDArray[np.float64],
    objective: float,
    horizon: int = HORIZON_STEPS,
) -> Streamed:
    """Predict and learn through samples of several nodes, in order of time.

    Parameters
    ----------
    time_ms, node
        Time and node of each sample, `[n]`; a node's times increase.
    values
        `[n, metric]`, the target first.
    objective
        What it must not exceed.
    horizon
        In samples.
    """
    m = values.shape[1]
    names = input_names([str(k) for k in range(m - 1)])
    model = new_breach(names)
    row = row_dtype(*buffer_fields(_WINDOW, m), *CONTEXT, *pending_fields(len(names), horizon))
    nodes = np.zeros(int(node.max()) + 1, row)
    probability, value = np.zeros(len(time_ms)), np.zeros(len(time_ms))
    times, window, x = np.zeros(STEPS, np.int64), np.zeros((m, RANKED_MAX)), np.zeros(len(names))
    moment, score, change = np.zeros(1, MOMENT), np.zeros(1, SCORE), np.zeros((horizon, 4))
    _stream(
        nodes, model.state, model.intercept, new_mix(), score, node, time_ms, values, objective,
        times, window, moment, x, change, probability, value,
    )  # fmt: skip
    return Streamed(time_ms, probability, value)


@njit(cache=True)
def _stream(
    nodes: Any, state: Any, intercept: Any, mix: Any, score: Any, slot: Any, time_ms: Any, values: Any,
    objective: float, times: Any, window: Any, moment: Any, x: Any, change: Any, probability: Any, value: Any,
) -> None:  # fmt: skip
    key = np.zeros(RANKED_MAX, np.float32)
    ordered, gaps, features = np.zeros(STEPS), np.zeros(STEPS, np.int64), np.zeros(N_FEATURES)
    breach = np.zeros((len(BREACH), x.shape[0]))
    open_breach(state, breach)
    regressor, gain = np.zeros(4), np.zeros(4)
    single, opinion = np.zeros(1, np.float32), np.zeros(N_OPINIONS)
    for i in range(len(time_ms)):
        node = nodes[slot[i]]
        if node.seen == 0:
            start_node(node)
        observe(node, time_ms[i], values[i], objective)
        settle(node, objective, state, intercept, breach, mix[0], score[0], x, regressor, gain)
        write_input(node, objective, times, window, key, ordered, gaps, features, x, moment[0])
        value[i] = values[i, 0]
        if moment[0].ready:
            for j in range(x.shape[0]):
                single[0] = x[j]
                x[j] = single[0]
            predict_breach(intercept, breach, mix[0], x, opinion)
            probability[i] = opinion[0]
            predict_change(node, x, change, regressor)
            remember(node, time_ms[i], moment[0], x, opinion, change)
            value[i] = moment[0].current + moment[0].scale * change[-1, 0]
