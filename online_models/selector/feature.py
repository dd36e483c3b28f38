"""The selector's 19 features as numbers: for the online models, and for trained ones.

Heavy tails go through logarithms. The model of utilities (`inputs_of`) gets few inputs per side, among them the
time on the wire, which is the payload over the link's bandwidth and two round trips. River's logistic
regression (`selector_inputs`) gets all features, categories one-hot, and the ratio of the two utilities by *history*.
A missing value stays NaN, which is imputation by the running mean. Trained models get the 19 features as
they are and hold what else they need inside. Outcome fields are not read here at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.encoding import Category, bucket_codes
from online_models.selector.oracle import FORMULA, MEASURED, history, utilities
from schemas.batch import matrix
from schemas.compression import FEATURES, CompressionTelemetry
from schemas.constraint import checks_of
from schemas.field import LINK_TYPES, PAYLOAD_TYPES

REGIONS: Final = 8
"""Regions are an open set; their bucket modulo 8 is one-hot."""

_LOGGED: Final = (
    "bandwidth_available_mbps",
    "rtt_ms",
    "payload_size",
    "hde_compression_ratio",
    "hde_latency_ms",
    "hde_cpu_usage",
    "amst_stream_count",
    "amst_transfer_rate_mbps",
    "amst_latency_ms",
    "amst_cpu_usage",
)
_PLAIN: Final = (
    "network_tier",
    "bandwidth_utilization",
    "has_baseline",
    "entropy_estimate",
    "repetition_score",
    "hde_delta_hit_rate",
)
_NULLABLE: Final = tuple(c.field for c in checks_of(CompressionTelemetry) if c.nullable and c.field in FEATURES)

INPUTS: Final = (
    *(f"log1p_{name}" for name in _LOGGED),
    *_PLAIN,
    "log_utility_ratio",
    *(f"missing_{name}" for name in _NULLABLE),
    *(f"link_type_{name}" for name in LINK_TYPES),
    *(f"payload_type_{name}" for name in PAYLOAD_TYPES),
    *(f"region_{k}" for k in range(REGIONS)),
)
"""Inputs of the logistic regression, in order."""

AMST_INPUTS: Final = (
    "log_bandwidth", "log_rtt", "log_mib", "log_wire", "log_wire_per_mib_lately", "log_work_lately",
    "log_work_mostly_cpu_lately", "utilization", "log_hde_ratio", "log_hde_latency", "log_hde_cpu", "log_amst_rate",
    "log_amst_latency", "log_amst_cpu", "log_amst_streams",
)  # fmt: skip
HDE_INPUTS: Final = (
    "log_wire_per_mib", "log_mib", "log_hde_ratio", "log_hde_latency", "log_hde_cpu", "utilization", "entropy",
    "entropy_wire", "entropy_squared", "entropy_squared_wire", "log_bandwidth", "log_rtt", "log_repetition",
    "repetition_wire", "hit_rate",
)  # fmt: skip
"""Inputs of the utility model by side, in order; `lately` is by AMST's recent rate where the link has more to give."""

_NUMBERS: Final = (
    "bandwidth_available_mbps", "rtt_ms", "payload_size", "bandwidth_utilization", "amst_stream_count",
    "hde_delta_hit_rate", "entropy_estimate", "repetition_score",
    *MEASURED,
)  # fmt: skip
BANDWIDTH, RTT, SIZE, UTILIZATION, STREAMS, HITS, ENTROPY, REPETITION, HISTORY = range(9)
"""Where a transfer's `numbers` stand; from `HISTORY` on what was `MEASURED` lately."""

_MIB: Final = 1048576.0
_MIB_MS: Final = 8388.608
"""Milliseconds that a MiB takes at 1 Mbps."""

_LINK: Final = Category(LINK_TYPES)
_PAYLOAD: Final = Category(PAYLOAD_TYPES)


def selector_inputs(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Inputs of a batch, `[n, len(INPUTS)]`; NaN where unknown."""
    n = len(columns["rtt_ms"])
    out = np.zeros((n, len(INPUTS)))
    for at, name in enumerate(_LOGGED):
        out[:, at] = columns[name]
    at = len(_LOGGED)
    for name in _PLAIN:
        out[:, at] = columns[name]
        at += 1
    hde, amst = utilities(
        history(columns),
        columns["bandwidth_available_mbps"],
        columns["rtt_ms"],
        columns["payload_size"].astype(np.float64),
        FORMULA,
    )
    _log_inputs(out, len(_LOGGED), at, hde, amst)
    at += 1
    for name in _NULLABLE:
        out[:, at] = np.isnan(columns[name])
        at += 1
    row = np.arange(n)
    for codes, size in (
        (_LINK.codes(columns["link_type"]), len(LINK_TYPES)),
        (_PAYLOAD.codes(columns["payload_type"]), len(PAYLOAD_TYPES)),
        (bucket_codes(columns["region"]) % REGIONS, REGIONS),
    ):
        out[row, at + codes] = 1.0
        at += size
    return out


def numbers(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """What the online model is told of a batch, `[n, number]`; NaN where missing."""
    return matrix(columns, _NUMBERS)


def payload_kinds(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Payload type * 2 + whether there is a baseline, `[n]`, 0..7."""
    found: NDArray[np.int64] = _PAYLOAD.codes(columns["payload_type"]) * 2 + columns["has_baseline"]
    return found


def feature_matrix(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float32]:
    """The 19 features in their order, `[n, 19]`, as trained models take them; NaN where missing.

    Link and payload type are their positions in `schemas.field`. Regions are an open set: a hash
    bucket, 0..63, that does not depend on which ones training saw (`online_models.encoding`).
    """
    coded = {
        "link_type": _LINK.codes(columns["link_type"]),
        "region": bucket_codes(columns["region"]),
        "payload_type": _PAYLOAD.codes(columns["payload_type"]),
    }
    out = np.empty((len(columns["rtt_ms"]), len(FEATURES)), np.float32)
    for at, name in enumerate(FEATURES):
        out[:, at] = coded[name] if name in coded else columns[name]
    return out


@njit(cache=True)
def _log_inputs(out: NDArray[Any], logged: int, ratio_at: int, hde: NDArray[Any], amst: NDArray[Any]) -> None:
    """Take logarithms in place; one value at a time, so that no value depends on its neighbours."""
    for i in range(out.shape[0]):
        for j in range(logged):
            out[i, j] = np.log1p(out[i, j])
        out[i, ratio_at] = np.log(max(amst[i], 1e-12)) - np.log(max(hde[i], 1e-12))
        if np.isnan(hde[i] + amst[i]):
            out[i, ratio_at] = np.nan


@njit(cache=True)
def inputs_of(f: NDArray[Any], h: NDArray[Any], a: NDArray[Any]) -> None:
    """Inputs for HDE's and for AMST's utility, NaN where unknown, of one transfer's numbers; compiled.

    Parameters
    ----------
    f
        A row of `numbers`.
    h, a
        Set: `HDE_INPUTS` and `AMST_INPUTS`.
    """
    lately_hde, lately_latency, lately_cpu, lately_rate = f[HISTORY], f[HISTORY + 1], f[HISTORY + 2], f[HISTORY + 3]
    bandwidth, rtt, mib = _log(f[BANDWIDTH]), np.log(f[RTT] + 0.1), _log(f[SIZE] / _MIB)
    ratio, latency, cpu, utilization = _log(lately_hde), _log(lately_latency), _log(lately_cpu), f[UTILIZATION] / 50.0
    size, round_trips = f[SIZE] / _MIB, 2.0 * f[RTT]
    wire = size * _MIB_MS / f[BANDWIDTH] + round_trips
    rate = f[BANDWIDTH] if np.isnan(lately_rate) else min(max(lately_rate, 0.01), f[BANDWIDTH])
    lately = size * _MIB_MS / rate + round_trips
    a[0], a[1], a[2], a[3], a[4] = bandwidth, rtt, mib, np.log(wire), np.log(lately / size + 1.0)
    # A mechanism works for what it sends and for as long as it waits; in what proportion is not known.
    a[5], a[6] = np.log(100.0 * size + lately), np.log(100.0 * size + 0.3 * lately)
    a[7], a[8], a[9], a[10] = utilization, ratio, latency, cpu
    a[11], a[12], a[13], a[14] = _log(lately_rate), _log(f[HISTORY + 4]), _log(f[HISTORY + 5]), _log(f[STREAMS])
    per_mib, entropy, repetition = np.log(wire / size + 10.0), f[ENTROPY] / 2.0 - 2.5, np.log1p(f[REPETITION]) - 1.0
    h[0], h[1], h[2], h[3], h[4], h[5] = per_mib, mib, ratio, latency, cpu, utilization
    h[6], h[7], h[8], h[9] = entropy, entropy * per_mib, entropy**2, entropy**2 * per_mib
    h[10], h[11], h[12], h[13], h[14] = bandwidth, rtt, repetition, repetition * per_mib, f[HITS] / 50.0


@njit(cache=True)
def _log(value: float) -> float:
    return float(np.log(max(value, 1e-3))) if not np.isnan(value) else np.nan
