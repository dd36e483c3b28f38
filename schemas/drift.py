"""Drift alerts."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from schemas.field import Identifier, TimestampMs


class DriftAlert(Struct, frozen=True, gc=False):
    """A change in a model's error, its inputs or its answers.

    `window` is the number of observations the statistic was computed over;
    `value` and `threshold` are in the unit of `feature`, for distances between distributions
    (`psi`, `ks`) in that of the distance. A `warning` asks to look, an `alert` to retrain.
    """

    id: Identifier
    timestamp: TimestampMs
    model: Identifier
    feature: Identifier
    statistic: Identifier
    value: float
    threshold: float
    window: int
    reference_version: Identifier
    level: Literal["warning", "alert"] = "alert"
