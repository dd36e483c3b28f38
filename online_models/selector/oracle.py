"""Oracle labels: which algorithm was best for one transfer.

Domain facts, section 3. Labels come from the realised outcomes of both sides; where
shadow measurement did not run they fall back to the history fields and say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable
from numpy.typing import NDArray

from schemas.batch import matrix

Formula = Literal["collection_plan", "unscaled", "completion_time"]
FORMULA: Final[Formula] = "collection_plan"

HDE: Final = 0
AMST: Final = 1
NONE: Final = -1

OUTCOME: Final = 0
HISTORY: Final = 1
SOURCES: Final = ("outcome", "history")

MEASURED: Final = (
    "hde_compression_ratio",
    "hde_latency_ms",
    "hde_cpu_usage",
    "amst_transfer_rate_mbps",
    "amst_latency_ms",
    "amst_cpu_usage",
)
"""What a `Measurement` is made of, in its order."""

_REALISED: Final = tuple(f"outcome_{name}" for name in MEASURED)

_EPSILON: Final = 1e-6
_SCALE: Final = 0.01
_MIB: Final = 1024.0 * 1024.0


class Measurement(NamedTuple):
    """What both sides did, or did lately, for `n` transfers; NaN where not measured.

    Parameters
    ----------
    hde_ratio
        Original size / compressed size.
    hde_latency_ms, amst_latency_ms
        ms.
    hde_cpu, amst_cpu
        %.
    amst_rate_mbps
        Mbps.
    """

    hde_ratio: NDArray[np.float64]
    hde_latency_ms: NDArray[np.float64]
    hde_cpu: NDArray[np.float64]
    amst_rate_mbps: NDArray[np.float64]
    amst_latency_ms: NDArray[np.float64]
    amst_cpu: NDArray[np.float64]


class Label(NamedTuple):
    """Labels of `n` transfers.

    Parameters
    ----------
    label
        `HDE`, `AMST`, or `NONE` where neither outcomes nor history are complete.
    utility_hde, utility_amst
        By the named formula; NaN without a label.
    margin
        Share of the better utility that the worse choice loses, 0..1.
    source
        `OUTCOME` or `HISTORY`.
    """

    label: NDArray[np.int64]
    utility_hde: NDArray[np.float64]
    utility_amst: NDArray[np.float64]
    margin: NDArray[np.float64]
    source: NDArray[np.int64]


def outcomes(columns: Mapping[str, NDArray[Any]]) -> Measurement:
    """The realised counterparts."""
    return Measurement(*(columns[name] for name in _REALISED))


def realised(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """As `outcomes`, a row per transfer, `[n, 6]`, as `utilities_of` takes it."""
    return matrix(columns, _REALISED)


def history(columns: Mapping[str, NDArray[Any]]) -> Measurement:
    """What each mechanism did lately on the link."""
    return Measurement(*(columns[name] for name in MEASURED))


def utilities(
    measured: Measurement,
    bandwidth_mbps: NDArray[np.float64],
    rtt_ms: NDArray[np.float64],
    payload_bytes: NDArray[np.float64],
    formula: Formula = FORMULA,
    cpu_penalty: float = 1.0,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Utilities of HDE and AMST, higher is better; NaN where a part is missing.

    Parameters
    ----------
    measured
        Both sides.
    bandwidth_mbps, rtt_ms, payload_bytes
        Of the transfer, `[n]`.
    formula
        `collection_plan` (the default), `unscaled` (without its scale factors), or
        `completion_time`: minus the cost in ms, where HDE sends the compressed bytes
        at the link's bandwidth and AMST all of them at its own rate.
    cpu_penalty
        Cost of one ms of CPU time in `completion_time`.
    """
    hde_work = measured.hde_latency_ms * measured.hde_cpu
    amst_work = measured.amst_latency_ms * measured.amst_cpu
    if formula == "completion_time":
        megabits = payload_bytes / _MIB * 8.0
        fixed_ms = 2.0 * rtt_ms
        rate = np.maximum(measured.amst_rate_mbps, _EPSILON)
        compressed = megabits / np.maximum(measured.hde_ratio, _EPSILON)
        hde_ms = compressed / bandwidth_mbps * 1000.0 + fixed_ms + hde_work * 0.01 * cpu_penalty
        amst_ms = megabits / rate * 1000.0 + fixed_ms + amst_work * 0.01 * cpu_penalty
        return -hde_ms, -amst_ms
    scale = _SCALE if formula == "collection_plan" else 1.0
    hde, amst = _by_plan(measured.hde_ratio, hde_work, measured.amst_rate_mbps, amst_work, bandwidth_mbps, scale)
    return hde, amst


@register_jitable
def _by_plan(hde_ratio: Any, hde_work: Any, amst_rate: Any, amst_work: Any, bandwidth: Any, scale: float) -> Any:
    hde = hde_ratio * bandwidth / (hde_work * scale + _EPSILON)
    amst = amst_rate * bandwidth * scale / (amst_work * scale + _EPSILON)
    return hde, amst


@njit(cache=True)
def utilities_of(measured: NDArray[Any], bandwidth_mbps: float) -> tuple[float, float]:
    """As `utilities`, of one transfer, whose `Measurement` is `[6]`, by `FORMULA`; compiled."""
    hde_work, amst_work = measured[1] * measured[2], measured[4] * measured[5]
    hde, amst = _by_plan(measured[0], hde_work, measured[3], amst_work, bandwidth_mbps, _SCALE)
    return hde, amst


@register_jitable
def relative_loss(hde: Any, amst: Any) -> Any:
    """Share lost by choosing the worse one: difference over the larger magnitude, 0..1; of arrays or of one pair."""
    larger = np.maximum(np.abs(hde), np.abs(amst))
    return np.abs(hde - amst) / (larger + (larger == 0.0))


def label_of(columns: Mapping[str, NDArray[Any]], formula: Formula = FORMULA) -> Label:
    """Labels of a batch of telemetry; HDE where its utility is larger, else AMST."""
    transfer = (
        columns["bandwidth_available_mbps"],
        columns["rtt_ms"],
        columns["payload_size"].astype(np.float64),
    )
    realised = utilities(outcomes(columns), *transfer, formula)
    lately = utilities(history(columns), *transfer, formula)
    measured = ~np.isnan(realised[0] + realised[1])
    hde = np.where(measured, realised[0], lately[0])
    amst = np.where(measured, realised[1], lately[1])
    known = ~np.isnan(hde + amst)
    label = np.where(known, np.where(hde > amst, HDE, AMST), NONE)
    source = np.where(measured, OUTCOME, HISTORY)
    return Label(label.astype(np.int64), hde, amst, relative_loss(hde, amst), source.astype(np.int64))
