"""Rollups: what a node's metrics were over an hour or a day, for capacity."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, get_args

from msgspec import Struct

from schemas.field import Identifier, PositiveCount, TargetTimeMs, TimestampMs
from schemas.system import METRICS

RollupWindow = Literal["hour", "day"]
ROLLUP_WINDOWS: Final[tuple[str, ...]] = get_args(RollupWindow)

WINDOW_MS: Final[Mapping[str, int]] = {"hour": 3_600_000, "day": 86_400_000}

ROLLUP_METRICS: Final = (*METRICS, "network_bandwidth", "storage_used", "request_rate")
"""The metrics rolled up, in the order of every `[..., metric]` array."""


class MetricRollup(Struct, frozen=True, gc=False):
    """One metric over a window."""

    mean: float
    max: float
    p95: float


class SystemRollup(Struct, frozen=True, gc=False):
    """One node's metrics over an hour or a day of event time (UTC), told once the node is past it."""

    id: Identifier
    timestamp: TimestampMs
    node_id: Identifier
    window: RollupWindow
    window_start: TimestampMs
    window_end: TargetTimeMs
    samples: PositiveCount
    metrics: dict[str, MetricRollup]
