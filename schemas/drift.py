"""Drift alerts."""

from __future__ import annotations

from msgspec import Struct

from schemas.field import Identifier, TimestampMs


class DriftAlert(Struct, frozen=True, gc=False):
    """A change in a model's error or inputs.

    `window` is the number of observations the statistic was computed over;
    `value` and `threshold` are in the unit of `feature`.
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
