"""One pass of the drift detectors over a series, and its distribution at the end against that at the start."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from offline.series import Series
from online_models.drift.change import ChangeDetector
from online_models.drift.divergence import Level, ks_distance, ks_limit, psi, psi_level


class Alert(Struct, frozen=True):
    """One change of one feature; `window` values went into the evidence."""

    time: str
    feature: str
    statistic: str
    value: float
    threshold: float
    window: int


class Distance(Struct, frozen=True):
    """A feature's values in the last part of a series against those in the first."""

    feature: str
    psi: float
    psi_level: Level
    ks: float
    ks_limit: float
    reference_values: int
    current_values: int


def drifts_of(series: Series, features: Sequence[str]) -> list[Alert]:
    """Every change, in order of time."""
    found = [
        (change.row, Alert(series.text[change.row], feature, change.statistic, change.value, change.threshold,
                           change.window))
        for feature in features
        for change in ChangeDetector().step(series.time_ms, series.columns[feature])
    ]  # fmt: skip
    return [alert for _, alert in sorted(found, key=lambda item: (item[0], item[1].feature))]


def distances_of(series: Series, features: Sequence[str], share: float) -> list[Distance]:
    """Compare the first and the last share of the rows; features without values in both are left out."""
    rows = max(round(share * len(series)), 1)
    found = []
    for feature in features:
        column = series.columns[feature]
        reference, current = (part[np.isfinite(part)] for part in (column[:rows], column[-rows:]))
        if len(reference) and len(current):
            index = psi(reference, current)
            limit = ks_limit(len(reference), len(current))
            distance = ks_distance(reference, current)
            found.append(Distance(feature, index, psi_level(index), distance, limit, len(reference), len(current)))
    return found
