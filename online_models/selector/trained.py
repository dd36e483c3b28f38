"""What trained models say of transfers: the champion, its challenger on the arm it is on trial for, and a shadow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.answer import ask
from online_models.experiment.arm import NEITHER, TREATMENT
from online_models.experiment.trial import Trial
from online_models.selector.feature import feature_matrix
from online_models.served import Model, Served
from schemas.batch import Control
from schemas.compression import FEATURES
from schemas.error import ModelError

NAME: Final = "selector"
PROBABILITY: Final = "probability_amst"
"""The output that a model must have, `[n]` or `[n, 1]`."""

_DIGITS: Final = 6

Version = tuple[str, str]
"""Name and version of a model."""

NOBODY: Final[Version] = ("", "")
"""Where there is none."""


class Asked(NamedTuple):
    """What trained models say of a batch.

    Parameters
    ----------
    probability
        That AMST is better, `[n]`, of the model that is to decide; NaN where it does not say.
    expected
        Whether there is such a model, bool `[n]`.
    treated
        Whether it is the challenger, bool `[n]`.
    champion, challenger
        Which they are.
    experiment_id, arm
        The running experiment and each request's arm, `[n]`.
    shadow_version, shadow
        The shadow's version and what it says, `[n]`; empty and NaN without one.
    """

    probability: NDArray[np.float64]
    expected: NDArray[np.bool_]
    treated: NDArray[np.bool_]
    champion: Version
    challenger: Version
    experiment_id: str
    arm: NDArray[np.int8]
    shadow_version: str
    shadow: NDArray[np.float64]


class TrainedSelector:
    """The trained models of one partition's selector.

    Parameters
    ----------
    champion
        One that is champion whatever is announced; backtests give it.

    Raises
    ------
    ModelError
        When it takes other features than the 19 in their order.
    """

    def __init__(self, champion: Model | None = None) -> None:
        if champion is not None and list(champion.manifest.feature_names) != list(FEATURES):
            raise ModelError(f"{champion.manifest.model_name} does not take the selector's {len(FEATURES)} features")
        self.served = Served(NAME)
        self._trial = Trial(NAME)
        self._given = champion

    @property
    def shared(self) -> dict[str, NDArray[Any]]:
        """Arrays for the state that it belongs to, beside those of `served`."""
        return self._trial.shared

    def control(self, control: Control) -> None:
        """Take an experiment's stage in."""
        self._trial.control(control)

    def ask(self, columns: Mapping[str, NDArray[Any]]) -> Asked:
        """Ask every model that has a role, each once for the whole batch."""
        n = len(columns["rtt_ms"])
        champion = self._given or self.served.get("champion")
        challenger, shadow = self.served.get("challenger"), self.served.get("shadow")
        if not (champion or challenger or shadow):
            unsaid, nobody = np.full(n, np.nan), np.zeros(n, np.bool_)
            return Asked(unsaid, nobody, nobody, NOBODY, NOBODY, "", np.full(n, NEITHER, np.int8), "", unsaid)
        arm = self._arms(columns, challenger)
        treated = arm == TREATMENT
        x = feature_matrix(columns)
        probability = _say(champion, x)
        if treated.any():
            probability = np.where(treated, _say(challenger, x), probability)
        return Asked(
            probability, treated | (champion is not None), treated, _version(champion), _version(challenger),
            self._trial.experiment_id if (arm != NEITHER).any() else "", arm, _version(shadow)[1], _say(shadow, x),
        )  # fmt: skip

    def _arms(self, columns: Mapping[str, NDArray[Any]], challenger: Model | None) -> NDArray[np.int8]:
        """Arms, none while the version on trial is not the challenger here."""
        if not self._trial.tries(challenger):
            return np.full(len(columns["rtt_ms"]), NEITHER, np.int8)
        return self._trial.arms(columns["request_id"].tolist())


def _say(model: Model | None, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """A model's probabilities `[n]`; NaN where it has none."""
    (found,) = ask(model, x, {PROBABILITY: ()})
    # Rounded, because single precision may differ in its last digits with the size of a batch.
    return np.asarray(np.round(np.clip(found, 0.0, 1.0), _DIGITS), np.float64)


def _version(model: Model | None) -> Version:
    return NOBODY if model is None else (model.manifest.model_name, model.manifest.model_version)
