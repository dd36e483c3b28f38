"""The selector's 19 features as numbers: for the online model, and for trained ones.

For the online model heavy tails go through log1p, categories become one-hot, and the ratio of
the two utilities is added, computed from *history* only. A missing value stays NaN (the model
skips it, which is imputation by the running mean) and sets an indicator. Trained models get
the 19 features as they are and hold what else they need inside.
Outcome fields are not read here at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.encoding import Category, bucket_codes
from online_models.selector.oracle import FORMULA, history, utilities
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
"""The model's inputs in order."""

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


def payload_kinds(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.int64]:
    """Payload type * 2 + whether there is a baseline, `[n]`, 0..7."""
    return _PAYLOAD.codes(columns["payload_type"]) * 2 + columns["has_baseline"].astype(np.int64)


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
