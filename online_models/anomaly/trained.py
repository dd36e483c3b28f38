"""What the trained isolation forests say of records: how far each is above the forests' own thresholds.

Optional: without an announced champion, or where it fails, nothing is said, and the other methods decide alone. The
forests are asked once per batch, about deviations as `dwcp train anomaly` sees them.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from online_models.answer import ask
from online_models.served import Model, Served
from schemas.error import ModelError
from schemas.system import METRICS

NAME: Final = "anomaly"
INPUTS: Final = tuple(f"z_{name}" for name in METRICS)
"""Deviations from the node's own baseline, in the order of the metrics."""

REACH: Final = 10.0
"""Deviations are kept within so many."""

RATIO: Final = "ratio"
"""The output that a model must have, `[n]`: the highest score over its threshold."""

_DIGITS: Final = 4
_ROWS: Final = 16


class TrainedForest:
    """The trained forests of one partition.

    Parameters
    ----------
    champion
        One that is asked whatever is announced; backtests give it.

    Raises
    ------
    ModelError
        When it takes other features than `INPUTS`.
    """

    def __init__(self, champion: Model | None = None) -> None:
        if champion is not None and tuple(champion.manifest.feature_names) != INPUTS:
            raise ModelError("the forests do not take nodes' deviations: train them with `--input deviations`")
        self.served = Served(NAME)
        self.failed = np.zeros(1, np.int64)
        self._given = champion

    def champion(self) -> Model | None:
        """The model that is asked."""
        return self._given or self.served.get("champion")

    def ask(self, z: NDArray[np.float32]) -> NDArray[np.float64]:
        """Ratios of deviations `[n, metric]`; 0 where nothing is said.

        Asked in whole blocks and rounded, so that answers do not depend on how the stream was cut.
        """
        model = self.champion()
        n = len(z)
        if model is None or not n:
            return np.zeros(n)
        padded = np.zeros((-(-n // _ROWS) * _ROWS, z.shape[1]), np.float32)
        padded[:n] = np.clip(z, -REACH, REACH)
        ratio = ask(model, padded, {RATIO: ()})[0][:n]
        void = np.isnan(ratio)
        self.failed += np.count_nonzero(void)
        return np.asarray(np.round(np.where(void, 0.0, ratio), _DIGITS))
