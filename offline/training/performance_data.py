"""Data sets of a degradation predictor: what a node looked like, and what came after.

A row's inputs are those that the stream makes after a sample (`online_models.performance.input`); its
label is of the `HORIZON_STEPS` samples that follow: whether any of them breaks the objective, and the target's
value at each. A row belongs to the time of its last labelled sample, so that splits can leave a horizon out.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.collector.buffer import buffer_fields
from online_models.performance.input import CONTEXT, LABEL_STRETCH, MOMENT, STEPS, input_names, trace_inputs
from online_models.slot import row_dtype
from schemas.performance import HORIZON_STEPS

_WINDOW = 64
"""Samples of the buffer that inputs are traced with; an input takes the last 60."""


class Labels(NamedTuple):
    """What came after each sample: whether the objective broke, `[n]`; values `[n, steps]`; whether both are known."""

    breach: NDArray[np.bool_]
    future: NDArray[np.float64]
    known: NDArray[np.bool_]
    end_ms: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Labelled rows.

    Parameters
    ----------
    x
        Inputs, float32 `[n, d]`.
    sequence
        The last 60 samples for recurrent models, float32 `[n, 60, metric]`; `[0, 60, metric]` where not asked for.
    breach, future
        Labels: `[n]` and `[n, steps]`.
    current, mean, scale
        Units of each row: `change = (future - current) / scale`.
    time_ms, end_ms
        When a row was known, and when its label was.
    node
        Number of its node.
    """

    x: NDArray[np.float32]
    sequence: NDArray[np.float32]
    breach: NDArray[np.bool_]
    future: NDArray[np.float64]
    current: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    time_ms: NDArray[np.int64]
    end_ms: NDArray[np.int64]
    node: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.x)

    @property
    def change(self) -> NDArray[np.float64]:
        """The future as differences to the present, in the row's scale, `[n, steps]`, within +-20."""
        return np.clip((self.future - self.current[:, None]) / self.scale[:, None], -20.0, 20.0)

    def value(self, change: NDArray[np.float64]) -> NDArray[np.float64]:
        """Changes `[n, k]` as values of the target."""
        return self.current[:, None] + self.scale[:, None] * change

    def take(self, where: NDArray[np.bool_] | NDArray[np.intp]) -> Rows:
        """Some of the rows."""
        return Rows(*(part[where] if len(part) == len(self.x) else part for part in self.columns))

    @property
    def columns(self) -> list[NDArray[Any]]:
        """All arrays, in order."""
        return [getattr(self, one.name) for one in fields(self)]


def make_labels(
    time_ms: NDArray[np.int64],
    target: NDArray[np.float64],
    objective: float,
    spacing_ms: NDArray[np.int64],
    steps: int = HORIZON_STEPS,
) -> Labels:
    """Labels of one node's samples; the last `steps` have none, nor have those before a long gap.

    Parameters
    ----------
    time_ms, target
        Increasing times and values, `[n]`.
    objective
        What the target must not exceed.
    spacing_ms
        Usual time between samples, as known at each, `[n]`.
    steps
        Samples of the horizon.
    """
    n = len(time_ms)
    at = np.minimum(np.arange(n)[:, None] + 1 + np.arange(steps), n - 1)
    end_ms = time_ms[at[:, -1]]
    known = (np.arange(n) + steps < n) & (end_ms - time_ms <= LABEL_STRETCH * steps * spacing_ms)
    return Labels((target[at] > objective).any(axis=1), target[at], known, end_ms)


def make_rows(
    time_ms: NDArray[np.int64],
    values: NDArray[np.float64],
    objective: float,
    steps: int = HORIZON_STEPS,
    *,
    node: int = 0,
    sequence: bool = False,
) -> Rows:
    """Labelled rows of one node.

    Parameters
    ----------
    time_ms
        Increasing, `[n]`.
    values
        `[n, metric]`, the target first, finite.
    objective
        What the target must not exceed.
    steps
        Samples of the horizon.
    node
        Its number.
    sequence
        Keep the last samples of each row, for recurrent models.
    """
    n, m = values.shape
    x = np.zeros((n, len(input_names([""] * (m - 1)))), np.float32)
    moment = np.zeros(n, MOMENT)
    window = np.zeros((n if sequence else 0, STEPS, m), np.float32)
    state = np.zeros(1, row_dtype(*buffer_fields(_WINDOW, m), *CONTEXT))[0]
    trace_inputs(state, time_ms, values, objective, x, moment, window)
    target = values[:, 0]
    labels = make_labels(time_ms, target, objective, moment["spacing_ms"], steps)
    good = np.flatnonzero(labels.known & (moment["ready"] > 0))
    return Rows(
        x[good], window[good] if sequence else window, labels.breach[good], labels.future[good],
        target[good], moment["mean"][good], moment["scale"][good], time_ms[good], labels.end_ms[good],
        np.full(len(good), node),
    )  # fmt: skip


def join_rows(parts: Iterable[Rows]) -> Rows:
    """Rows of several nodes in order of time."""
    joined = Rows(*(np.concatenate(column) for column in zip(*(part.columns for part in parts), strict=True)))
    return joined.take(np.argsort(joined.time_ms, kind="stable"))
