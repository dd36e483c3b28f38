"""What a trained forecaster is asked with: a link's context, then its last samples.

One row is `[context | window]`, float32. The context is what the worker has at hand
when it forecasts: the value of every expert but the regressions, the link's scale, and
the calendar of the target time. The window is the link's last samples, oldest first:
ten of the 6 compact features, thirty of the 34 enhanced ones, or the newest alone. A
row says nothing of other rows, so one call answers a batch. The values of the ten are in every link's state; thirty
times 34 would nearly double it, so workers do not serve what asks them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.bandwidth.expert import EXPERTS, LEVEL
from online_models.bandwidth.feature import FEATURE_NAMES
from schemas.network import TARGETS

STATELESS: Final = tuple(k for k, name in enumerate(EXPERTS) if not name.endswith("_regression"))
"""Experts of the context: a regression would learn from a vote that it takes part in."""

CALENDAR: Final = ("target_minute_of_day", "target_day_sin", "target_day_cos", "target_weekday", "target_weekend")

CONTEXT_NAMES: Final = (
    *(f"{EXPERTS[k]}_{target}" for k in STATELESS for target in TARGETS),
    *(f"scale_{target}" for target in TARGETS),
    *CALENDAR,
)

COMPACT_NAMES: Final = ("bandwidth", "latency", "loss", "jitter", "hour", "day")
COMPACT_UNITS: Final = (1000.0, 100.0, 1.0, 50.0, 24.0, 7.0)
"""What the first six enhanced features are divided by."""

LEVEL_AT: Final = 4 * STATELESS.index(LEVEL)
"""Column of the context where the four levels begin; forecasts are differences to them."""

SCALE_AT: Final = 4 * len(STATELESS)
"""Column where the four scales begin: the units of those differences."""


class Window(NamedTuple):
    """How many of a link's samples are asked with, and which features of each."""

    samples: int
    features: tuple[str, ...]

    @property
    def input_names(self) -> list[str]:
        """Names of a whole row's columns; `@-2` is the sample two before the newest."""
        ages = range(self.samples - 1, -1, -1)
        return [*CONTEXT_NAMES, *(f"{name}@-{age}" for age in ages for name in self.features)]


NEWEST: Final = Window(1, FEATURE_NAMES)
COMPACT: Final = Window(10, COMPACT_NAMES)
ENHANCED: Final = Window(30, FEATURE_NAMES)


def window_of(feature_names: Sequence[str]) -> Window:
    """Which samples a model of these features is asked with."""
    return COMPACT if len(feature_names) == len(COMPACT.input_names) else NEWEST


def make_context(
    expert: NDArray[np.float64], scale: NDArray[np.float64], target_ms: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Contexts of forecasts, `[n, 65]`.

    Parameters
    ----------
    expert
        Every expert's values, `[n, experts, 4]`, of `FORECAST`.
    scale
        Unit of each target's differences, `[n, 4]`, of `FORECAST`.
    target_ms
        Times that are forecast, `[n]`.
    """
    n = len(expert)
    minute = (target_ms // 60_000) % 1440
    weekday = (target_ms // 86_400_000 + 3) % 7
    angle = 2.0 * np.pi * minute / 1440.0
    calendar = (minute, np.sin(angle), np.cos(angle), weekday, weekday >= 5)
    parts = (expert[:, list(STATELESS)].reshape(n, -1), scale, np.column_stack(calendar))
    return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")


def compact_windows(recent: NDArray[Any], time_ms: NDArray[np.int64], period_ms: NDArray[Any]) -> NDArray[np.float32]:
    """Compact windows, `[n, 10, 6]`.

    A link keeps its last values, not their times: hour and day are of where its usual period puts them.

    Parameters
    ----------
    recent
        The four targets of the last ten samples, oldest first, `[n, 10, 4]`.
    time_ms
        Times of the newest, `[n]`.
    period_ms
        The links' usual distances of samples, before the newest, `[n]`.
    """
    age = np.arange(COMPACT.samples - 1, -1, -1)
    at = time_ms[:, None] - (np.asarray(period_ms, np.float64)[:, None] * age).astype(np.int64)
    hour, day = at // 3_600_000 % 24, (at // 86_400_000 + 3) % 7
    whole = np.concatenate([recent, hour[..., None], day[..., None]], axis=2, dtype=np.float64)
    return np.asarray(whole / np.array(COMPACT_UNITS), np.float32)
