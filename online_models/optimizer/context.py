"""What system metrics tell of a context, in the units of the measured grids' features.

Consensus: `request_rate` is `log_requests_per_s`, and `consensus_time`, taken as what a request waits until it
is decided, is the performance of the setting in force, which stands for the round trips: the grid knows what each
measured context has there. Not known are the round trips themselves and their spread (the latencies of
system metrics are those of whole requests), lost messages (`error_rate` counts failed requests) and
the share of time that members are down.

Compression and forecasts: nothing. Bandwidth of the link, processor time per MiB, a link's variation and round
trip are in no system metric; `network_bandwidth` is what is used, not what there is.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.optimizer.watch import REQUESTS

F64 = NDArray[np.float64]

LIVE: Final = {"acp": ("log_requests_per_s",)}
"""Features that system metrics tell, by system."""

TOLERANT_MEMBERS: Final = 4
"""With fewer none may lie, which the grid holds against them and consensus time does not show."""

INTOLERANT: Final = 0.3
"""Part of the performance that the grid leaves them."""


class Told(NamedTuple):
    """Features `[feature]`, NaN where not known, and the performance of the setting in force in the grid's unit."""

    about: F64
    level: float


def live_part(system: str, names: tuple[str, ...], about: F64) -> F64:
    """A context's features as far as system metrics tell them, the others NaN."""
    known = [name in LIVE.get(system, ()) for name in names]
    return np.where(known, about, np.nan)


def unit_of(system: str, values: NDArray[Any]) -> F64:
    """What makes performance of `watch.group_levels` the grid's, a logarithm `[...]` for settings `[..., 3]`.

    For consensus the grid has decisions per second, not ms; NaN where system metrics have it in another unit.

    >>> np.exp(unit_of("acp", np.array([[2000.0, 25, 7], [2000.0, 25, 3]]))).round(6).tolist()
    [1000.0, 300.0]
    """
    if system != "acp":
        return np.full(values.shape[:-1], np.nan)
    return np.asarray(np.log(1000.0 * np.where(values[..., 2] < TOLERANT_MEMBERS, INTOLERANT, 1.0)))


def told_of(system: str, names: tuple[str, ...], rows: NDArray[Any], values: F64, performance: float) -> Told:
    """What nodes' rows tell of a system's context.

    Parameters
    ----------
    names
        The grid's features.
    rows
        Nodes, of `watch.MINUTE`.
    values, performance
        The setting in force, `[3]`, and its performance as `watch.group_levels` has it.
    """
    rate = rows["fast"][rows["minutes"] > 0][:, REQUESTS]
    rate = rate[rate > 0.0]  # 0 is what those send who do not count requests
    about = np.full(len(names), np.log(rate).mean() if len(rate) else np.nan)
    return Told(live_part(system, names, about), performance + float(unit_of(system, values)))
