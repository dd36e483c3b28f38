"""Rows that models learn from and are judged on: which samples, and what each model is asked with."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from offline.training.bandwidth_trace import Trace
from offline.training.split import Split, split_by_time
from online_models.bandwidth.trained_input import COMPACT, ENHANCED, LEVEL_AT, SCALE_AT, Window, compact_windows
from schemas.error import ConfigError
from schemas.network import TARGETS

LEAST: Final = 100
"""Forecasts that each part needs."""

TEST: Final = 20_000
"""Rows that the test part is thinned to, if training has no more: it is asked only once."""

CLIP: Final = 10.0
"""Differences beyond ten scales teach no more than ten."""

Rows = NDArray[np.intp]


def split_rows(trace: Trace, horizon_ms: int, most: int) -> tuple[Rows, Rows, Rows]:
    """Rows of the three parts that have a target and a full window, the same for every model.

    Parameters
    ----------
    most
        Rows of training at most, 40 % of it of validation, and as many or 20,000 of the test;
        more are thinned evenly over time.

    Raises
    ------
    ConfigError
        When a part has fewer than 100.
    """
    row = np.flatnonzero(np.isfinite(trace.target[:, 0]) & (trace.age >= ENHANCED.samples - 1))
    if len(row) < LEAST:
        allowed = (
            f"links with a sample each minute, or at least {LEAST} pairs of samples {horizon_ms / 60_000:g} min apart"
        )
        raise ConfigError("--data", f"{len(row)} forecasts with a sample to meet", allowed)
    split: Split = split_by_time(trace.time_ms[row], gap_ms=horizon_ms)
    limits = (most, 2 * most // 5, max(2 * most // 5, TEST))
    parts = [thin(row[part], trace.time_ms, limit) for part, limit in zip(split, limits, strict=True)]
    for name, part in zip(Split._fields, parts, strict=True):
        if len(part) < LEAST:
            raise ConfigError("--data", f"{len(part)} forecasts in the {name} part", f"more data: at least {LEAST}")
    return parts[0], parts[1], parts[2]


def thin(row: Rows, time_ms: NDArray[np.int64], most: int) -> Rows:
    """At most so many rows, spread evenly over time, in order of time.

    >>> thin(np.arange(6), np.array([0, 1, 2, 3, 4, 5]), 3).tolist()
    [0, 2, 4]
    """
    ordered = row[np.argsort(time_ms[row], kind="stable")]
    if len(ordered) <= most:
        return ordered
    return ordered[(np.arange(most) * len(ordered)) // most]


def make_input(trace: Trace, window: Window, row: Rows) -> NDArray[np.float32]:
    """What a model is asked with, float32 `[len(row), len(window.input_names)]`.

    Parameters
    ----------
    window
        Its samples; rows begin where their link has that many.
    """
    samples = trace.feature[row[:, None] + np.arange(1 - window.samples, 1)]
    if window is COMPACT:
        samples = compact_windows(samples[..., : len(TARGETS)], trace.time_ms[row], trace.period_ms[row])
    return np.concatenate([trace.context[row], samples.reshape(len(row), -1)], axis=1)


def make_target(trace: Trace, row: Rows) -> NDArray[np.float32]:
    """Differences to the running level in units of the link's scale, float32 `[n, 4]`, at most ten."""
    level = trace.context[row, LEVEL_AT : LEVEL_AT + 4].astype(np.float64)
    scale = trace.context[row, SCALE_AT : SCALE_AT + 4].astype(np.float64)
    return np.clip((trace.target[row] - level) / scale, -CLIP, CLIP).astype(np.float32)
