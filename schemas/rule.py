"""Rules between fields: what cannot hold together, and what is hardly plausible.

The first rejects a record. The second only lowers its quality score, because a
measurement may be odd and true.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from schemas.batch import Columns
from schemas.compression import FEATURES
from schemas.error import ValidationError

IMPLAUSIBLE_FACTOR: Final = 0.75
"""What one implausible value leaves of a row's quality: too little for training."""

RTT_MAX_MS: Final = {"dc": 50.0, "metro": 200.0}
"""Round trips that a link of this type cannot have in good order."""

RATE_MAX_RATIO: Final = 10.0
"""How far the rate AMST reached lately may be above the bandwidth now available."""

_ROUNDING: Final = 1e-3


def reject_disorder(lower: str, upper: str, columns: Columns, problems: dict[int, ValidationError]) -> None:
    """Add a problem for each row where `lower` is above `upper` by more than rounding."""
    low, high = columns[lower], columns[upper]
    for row in (low > high * (1 + _ROUNDING) + _ROUNDING).nonzero()[0].tolist():
        message = f"{lower}={low[row]:g} is above {upper}={high[row]:g}"
        problems.setdefault(row, ValidationError("cross_field", message))


def completeness(columns: Columns, n: int) -> NDArray[np.float64]:
    """Share of the selector's features that were sent, 0..1, `[n]`."""
    features = [columns[name] for name in FEATURES]
    numbers = [column for column in features if column.dtype == np.float64]
    missing = np.isnan(np.array(numbers).reshape(len(numbers), n)).sum(axis=0)
    for column in features:
        if column.dtype == np.object_:
            missing = missing + (column == "")
    share: NDArray[np.float64] = (len(FEATURES) - missing) / len(FEATURES)
    return share


def plausibility(columns: Columns) -> NDArray[np.float64]:
    """`IMPLAUSIBLE_FACTOR` to the number of implausible values of a telemetry row, `[n]`."""
    rtt, link_type = columns["rtt_ms"], columns["link_type"]
    odd = (columns["amst_transfer_rate_mbps"] > RATE_MAX_RATIO * columns["bandwidth_available_mbps"]).astype(np.float64)
    for kind, limit in RTT_MAX_MS.items():
        odd += (link_type == kind) & (rtt > limit)
    return IMPLAUSIBLE_FACTOR**odd
