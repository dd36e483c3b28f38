"""How good forecasts were, target by target, beside the bars; and the gates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from offline.training.gate import gate
from schemas.model import Gate
from schemas.network import TARGETS

F64 = NDArray[np.float64]

PUBLISHED: Final = "published"
"""The online forecaster's name among forecasters."""

SKILL_BARS: Final = ("persistence", "moving-average")
WORSE: Final = 1.01
_STILL: Final = 1e-7
P99_MS: Final = 10.0
MEMORY_MB: Final = 100.0


class Quality(Struct, frozen=True):
    """One forecaster on one target; None where a figure is not defined.

    `mape` leaves out actual values of 0; `ratio` is the MAE over the better of
    persistence's and moving average's, None where those are never wrong.
    """

    mae: float
    mape: float | None
    r2: float | None
    ratio: float | None


Qualities = dict[str, dict[str, Quality]]
"""By forecaster, then target."""


def score(forecasts: Mapping[str, F64], actual: F64) -> Qualities:
    """Quality of every forecaster.

    Parameters
    ----------
    forecasts
        `[n, 4]` by name; the bars are among them.
    actual
        `[n, 4]`.
    """
    bar = np.min([np.abs(forecasts[name] - actual).mean(axis=0) for name in SKILL_BARS], axis=0)
    still = _STILL * np.abs(actual).max(axis=0)
    return {
        name: {
            target: _quality(value[:, m], actual[:, m], float(bar[m]) if bar[m] > still[m] else None)
            for m, target in enumerate(TARGETS)
        }
        for name, value in forecasts.items()
    }


def _quality(value: F64, actual: F64, bar: float | None) -> Quality:
    error = np.abs(value - actual)
    some = actual != 0.0
    spread = float(np.sum((actual - actual.mean()) ** 2))
    mae = float(error.mean())
    return Quality(
        mae,
        float((error[some] / np.abs(actual[some])).mean()) if some.any() else None,
        1.0 - float(np.sum(error**2)) / spread if spread > 0.0 else None,
        mae / bar if bar is not None else None,
    )


def mean_ratio(found: Mapping[str, Quality]) -> float:
    """Geometric mean over targets of MAE against the better bar: what the champion is chosen by; less is better."""
    ratios = [one.ratio for one in found.values() if one.ratio is not None]
    return float(np.exp(np.mean(np.log(np.maximum(ratios, 1e-6))))) if ratios else 1.0


def overall_accuracy(found: Mapping[str, Quality]) -> float:
    """One less the mean of bandwidth's and latency's relative errors, at most 1 each."""
    errors = [min(found[target].mape or 0.0, 1.0) for target in TARGETS[:2]]
    return 1.0 - sum(errors) / 2


def judge(found: Mapping[str, Quality], p99_ms: float, memory_mb: float) -> list[Gate]:
    """The gates of the contract, and one per target against the bars.

    Parameters
    ----------
    found
        The model's quality by target.
    p99_ms, memory_mb
        Of answering for a single link.
    """
    gates = [
        gate("overall_accuracy", overall_accuracy(found), "above", 0.85),
        gate("bandwidth_mape", found[TARGETS[0]].mape or 0.0, "below", 0.10),
        gate("latency_mape", found[TARGETS[1]].mape or 0.0, "below", 0.15),
        gate("packet_loss_mae", found[TARGETS[2]].mae, "below", 0.01),
        gate("jitter_mae_ms", found[TARGETS[3]].mae, "below", 2.0),
        gate("inference_p99_ms", p99_ms, "below", P99_MS),
        gate("memory_mb", memory_mb, "below", MEMORY_MB),
    ]
    for target in TARGETS:
        ratio = found[target].ratio
        if ratio is not None:
            gates.append(gate(f"{target}_against_bar", ratio, "at_most", WORSE))
    return gates


def mae_by(group: NDArray[np.int64], size: int, value: F64, actual: F64) -> F64:
    """MAE of each target in each of `size` groups, `[size, 4]`; NaN for an empty one."""
    error = np.abs(value - actual)
    counts = np.bincount(group, minlength=size).astype(np.float64)
    counts[counts == 0] = np.nan
    sums = [np.bincount(group, error[:, m], minlength=size) for m in range(error.shape[1])]
    return np.asarray(np.column_stack(sums) / counts[:, None], np.float64)
