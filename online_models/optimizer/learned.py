"""What this deployment's own rollouts taught, as a trained model: how much better settings are than elsewhere.

`dwcp train optimizer` makes it of recorded rollouts. Its answer is added to what is believed of each setting's
performance before any trial; how sure that is stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.answer import ask
from online_models.optimizer.prior import Prior
from online_models.optimizer.space import GROUPS
from online_models.served import Served

F64 = NDArray[np.float64]

NAME: Final = "optimizer"
INPUTS: Final = ("system", "log_first", "log_second", "log_third")
"""A setting: the number of its system in `GROUPS`, and logarithms of its three parameters."""


def inputs_of(name: str, values: F64) -> NDArray[np.float32]:
    """A system's settings `[s, 3]` as the model takes them, `[s, 4]`."""
    system = np.full(len(values), list(GROUPS).index(name))
    return np.column_stack([system, np.log(values)]).astype(np.float32)


class Learned:
    """The champion's answers for all settings that are known, asked once for each version."""

    def __init__(self, priors: Mapping[str, Prior]) -> None:
        self.served = Served(NAME)
        self._priors = priors
        self._known: tuple[Any, dict[str, F64]] = (None, {})

    @property
    def version(self) -> str:
        """Of the champion; empty when there is none."""
        return self.served.version("champion") if self.served.get("champion") else ""

    def gains(self) -> Mapping[str, F64]:
        """What to add to each setting's expected performance, logarithms `[s]` by system; empty without a champion."""
        model = self.served.get("champion")
        if model is not self._known[0]:
            answers = {}
            for name, prior in self._priors.items() if model is not None else ():
                (gain,) = ask(model, inputs_of(name, prior.values), {"gain": ()})
                answers[name] = np.nan_to_num(np.asarray(gain, np.float64))
            self._known = model, answers
        return self._known[1]
