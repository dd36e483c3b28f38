"""What links and their types keep of their forecasts' votes, and what a forecast is.

Both votes are in single precision or shorter with a link, which are most of its memory, and in full with its type.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.bandwidth.expert import (
    EXPERTS,
    FEATURES,
)
from online_models.bandwidth.interval import PRIOR_RADIUS
from online_models.bandwidth.short_float import (
    NEAREST,
    lengthen,
    shorten,
)
from online_models.bandwidth.trial import TRIAL
from online_models.bandwidth.waiting import (
    WAITING,
    forget_trained,
)
from online_models.recursive import (
    packed_size,
    start_regression,
)
from online_models.slot import row_dtype

RECENT: Final = 20
PROVEN: Final = 10
"""Scored forecasts before confidence is more than a default."""

N_EXPERTS: Final = len(EXPERTS)
GUARDS: Final = 4
"""The experts' vote, persistence, the moving average, and a trained model, which comes last."""

TRAINED: Final = 3
_JOIN: Final = 0.1
"""Share of the largest squared regret that a trained model begins with: one lucky lesson says little."""

WEIGHT: Final = 1.0 / 4096.0
"""Unit of a link's own regression's weights."""

FINE: Final = 1.0 / 16_384.0
"""Unit in which relative errors are kept."""

BOUNDS: Final = np.array([[0.0, np.inf], [0.0, np.inf], [0.0, 1.0], [0.0, np.inf]])
"""Least and greatest value of each target, `[4, 2]`."""

VOTE: Final = (
    *WAITING,
    ("scored", "i4"),
    ("taught", "i4"),
    ("weight", "i2", (4, FEATURES)),
    ("regret", "u2", (4, N_EXPERTS)),
    ("square", "u2", (4, N_EXPERTS)),
    ("guard_regret", "u2", (4, GUARDS)),
    ("guard_square", "u2", (4, GUARDS)),
    ("epoch", "i4"),
    ("radius", "f4", (4,)),
    ("lean", "f4", (4,)),
    ("relative_error", "u2", (RECENT,)),
    ("relative", "f4", (4,)),
)
"""Fields of a link's state kept here, in single precision: they are most of a link's memory."""

MODEL: Final = row_dtype(
    ("weight", "f8", (4, FEATURES)),
    ("covariance", "f8", (4, packed_size(FEATURES))),
    ("regret", "f8", (4, N_EXPERTS)),
    ("square", "f8", (4, N_EXPERTS)),
    ("guard_regret", "f8", (4, GUARDS)),
    ("guard_square", "f8", (4, GUARDS)),
    ("radius", "f8", (4,)),
    ("lean", "f8", (4,)),
    ("scored", "i8"),
    ("taught", "i8"),
    ("epoch", "i8"),
    ("trust", "f8"),
    ("expert_error", "f8", (N_EXPERTS,)),
    *TRIAL,
)
"""What the links of one type share; regrets in units of each link's scale. `epoch` says which trained model the last
guard is; `trust` scales confidence: 1, but after drift; `expert_error` sums what each expert missed by, of all targets,
in each link's scale and ten at most."""

FORECAST: Final = np.dtype(
    [
        ("expert", "f8", (N_EXPERTS, 4)),
        ("scale", "f8", (4,)),
        ("breadth", "f8", (4,)),
        ("vote", "f8", (4,)),
        ("trained", "f8", (4,)),
        ("shadow", "f8", (4,)),
        ("predicted", "f8", (4,)),
        ("lower", "f8", (4,)),
        ("upper", "f8", (4,)),
        ("certain", "f8", (4,)),
        ("made_at", "i8"),
        ("epoch", "i8"),
        ("asked", "u1"),
        ("trained_by", "u1"),
        ("shadow_by", "u1"),
        ("applied", "?"),
    ],
    align=True,
)
"""One forecast, as made; `certain` is how sure it is of each target, `vote` is the experts' own, before it was weighed
against the guards, `trained` what a trained model said, NaN where none answered: number `asked`, which serves since
`epoch`; `trained_by` is that number where it had a part in the forecast. `shadow_by` is the shadow's, 0 where it did
not answer.

Regressions work in units of `scale`, intervals in units of `breadth`.
"""


@njit(cache=True)
def start_models(models: NDArray[Any]) -> None:
    """Set the shared models `[link type]` to their priors."""
    for k in range(len(models)):
        models[k].trust = 1.0
        for m in range(4):
            start_regression(models[k].covariance[m], FEATURES)
            models[k].radius[m] = PRIOR_RADIUS


def renew_trained(models: NDArray[Any], epoch: int) -> None:
    """Begin anew with what the links of each type know of a trained model: another one serves now."""
    models["epoch"] = epoch
    models["guard_regret"][..., TRAINED] = 0.0
    models["guard_square"][..., TRAINED] = _JOIN * models["guard_square"][..., :TRAINED].max(axis=-1)


@njit(cache=True)
def catch_up(link: Any, epoch: int) -> None:
    """Forget what a link knows of the trained model that served in an earlier epoch."""
    if link.epoch != epoch:
        link.epoch = epoch
        for m in range(4):
            link.guard_regret[m, TRAINED] = 0
            largest = lengthen(link.guard_square[m, :TRAINED].max())  # they are in the order of their bits
            link.guard_square[m, TRAINED] = shorten(_JOIN * largest, NEAREST)
        forget_trained(link)
