"""How forecasts did, as their samples came: sums by type of link, and the gauges made of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.expert import EXPERTS, PERSISTENCE
from online_models.slot import row_dtype
from schemas.field import LINK_TYPES
from schemas.network import TARGETS

TOTAL: Final = row_dtype(
    ("scored", "i8"),
    ("error", "f8", (4,)),
    ("persistence_error", "f8", (4,)),
    ("moving_average_error", "f8", (4,)),
    ("covered", "f8", (4,)),
    ("relative", "f8", (4,)),
    ("some", "i8", (4,)),
    ("relative_error", "f8"),
    ("applied", "i8"),
    ("effectiveness", "f8"),
)
"""Sums over all scored forecasts of links of one type. `relative` is over the `some` whose actual value was not 0,
`relative_error` is the confidence's, `effectiveness` is over the `applied` ones."""

Gauge = tuple[float, float | None]

_BARS: Final = ("persistence", "moving_average")


@njit(cache=True)
def add_scores(totals: NDArray[Any], score: NDArray[Any], target: NDArray[Any], kind_of_link: NDArray[Any]) -> None:
    """Add a batch's scores to the sums `[link type]`, in row order: numpy's would depend on how the stream was cut.

    Parameters
    ----------
    score
        `SCORE` records, `[n]`.
    target
        The samples that met them, `[n, 4]`.
    kind_of_link
        `[n]`.
    """
    for i in range(len(score)):
        one = score[i]
        if one.scored:
            total = totals[kind_of_link[i]]
            total.scored += 1
            total.relative_error += min(one.relative_error, 1.0)
            for m in range(4):
                total.error[m] += one.error[m]
                total.persistence_error[m] += one.persistence_error[m]
                total.moving_average_error[m] += one.moving_average_error[m]
                total.covered[m] += one.covered[m]
                if target[i, m] > 0.0:
                    total.some[m] += 1
                    total.relative[m] += one.error[m] / target[i, m]
            if not math.isnan(one.effectiveness):
                total.applied += 1
                total.effectiveness += one.effectiveness


def overall_gauges(totals: NDArray[Any]) -> dict[str, Gauge]:
    """Errors beside their bars, coverage and effectiveness over all links."""
    scored = float(totals["scored"].sum())
    found: dict[str, Gauge] = {
        "forecast_scored": (scored, None),
        "forecast_accuracy": (scored - float(totals["relative_error"].sum()), scored),
        "amst_effectiveness": (float(totals["effectiveness"].sum()), float(totals["applied"].sum())),
    }
    for m, target in enumerate(TARGETS):
        found[f"forecast_coverage_{target}"] = (float(totals["covered"][:, m].sum()), scored)
        for bar in ("", *(f"{name}_" for name in _BARS)):
            found[f"forecast_{bar}mae_{target}"] = (float(totals[f"{bar}error"][:, m].sum()), scored)
    return found


def quality_gauges(totals: NDArray[Any], models: NDArray[Any], horizon_ms: int) -> Mapping[str, Gauge]:
    """The same by horizon, type of link and target, with relative errors and skill, as labels of few values.

    `link_forecast_skill` is 1 less the error over the bar's. `link_forecast_expert_ratio` is what each expert
    missed by, over what persistence did, in spreads, of forecasts that taught.
    """
    return dict(_by_type(totals, horizon_ms)) | dict(_by_expert(models, horizon_ms))


def _by_type(totals: NDArray[Any], horizon_ms: int) -> Iterator[tuple[str, Gauge]]:
    for kind, total in zip(LINK_TYPES, totals, strict=True):
        scored = float(total["scored"])
        if not scored:
            continue
        of_type = {"horizon": horizon_name(horizon_ms), "link_type": kind}
        yield _labelled("link_forecast_scored", **of_type), (scored, None)
        for m, target in enumerate(TARGETS):
            labels, error = of_type | {"target": target}, float(total["error"][m])
            yield _labelled("link_forecast_mae", **labels), (error, scored)
            yield _labelled("link_forecast_mape", **labels), (float(total["relative"][m]), float(total["some"][m]))
            yield _labelled("link_forecast_coverage", **labels), (float(total["covered"][m]), scored)
            for bar in _BARS:
                least = float(total[f"{bar}_error"][m])
                yield _labelled("link_forecast_skill", against=bar, **labels), (least - error, least)


def _by_expert(models: NDArray[Any], horizon_ms: int) -> Iterator[tuple[str, Gauge]]:
    error = models["expert_error"].sum(axis=0)
    for k, expert in enumerate(EXPERTS):
        labels = {"expert": expert, "horizon": horizon_name(horizon_ms)}
        yield _labelled("link_forecast_expert_ratio", **labels), (float(error[k]), float(error[PERSISTENCE]))


def _labelled(name: str, **labels: str) -> str:
    """A gauge's name with labels, as metrics take it.

    >>> _labelled("link_forecast_mae", target="rtt_ms", horizon="15min")
    'link_forecast_mae{horizon=15min,target=rtt_ms}'
    """
    return f"{name}{{{','.join(f'{label}={labels[label]}' for label in sorted(labels))}}}"


def horizon_name(horizon_ms: int) -> str:
    """What a horizon of whole minutes is called.

    >>> horizon_name(3_600_000)
    '60min'
    """
    return f"{horizon_ms // 60_000}min"


def start_totals() -> NDArray[Any]:
    """Sums of nothing, `[link type]`."""
    return np.zeros(len(LINK_TYPES), TOTAL)
