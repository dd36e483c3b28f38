"""Which arm of a running experiment a request is in, as far as a state knows: it arrives as a control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from online_models.experiment.arm import NEITHER, arms_of
from online_models.served import Model
from online_models.slot import row_dtype
from schemas.batch import Control
from schemas.experiment import ExperimentState

KIND: Final = "experiment"
"""Of the controls that say where an experiment stands."""

_TRIAL: Final = row_dtype(("experiment", "S128"), ("treatment", "S128"), ("ramp_pct", "i8"))


class Trial:
    """The experiment on one model, if one is running.

    Parameters
    ----------
    model
        Name of the model.
    """

    def __init__(self, model: str) -> None:
        self.model = model
        self.memory = np.zeros(1, _TRIAL)

    @property
    def shared(self) -> dict[str, NDArray[Any]]:
        """Arrays for the state that it belongs to."""
        return {f"trial_{self.model}": self.memory}

    @property
    def experiment_id(self) -> str:
        """The running experiment; empty when there is none."""
        found: bytes = self.memory["experiment"][0]
        return found.decode()

    def tries(self, model: Model | None) -> bool:
        """Whether this is the version that the treatment gets."""
        treatment: bytes = self.memory["treatment"][0]
        return model is not None and model.manifest.model_version == treatment.decode()

    def arms(self, request_ids: Sequence[str]) -> NDArray[np.int8]:
        """Arm of every request, `[n]`: 1 treatment, 0 control, -1 neither."""
        if not self.experiment_id:
            return np.full(len(request_ids), NEITHER, np.int8)
        return arms_of(request_ids, int(self.memory["ramp_pct"][0]))

    def control(self, control: Control) -> bool:
        """Take an experiment's stage in; whether it concerns this model.

        Raises
        ------
        msgspec.DecodeError
            When it is not an experiment's state.
        """
        if control.kind != KIND:
            return False
        said = msgspec.json.decode(control.body, type=ExperimentState)
        if said.model_name != self.model:
            return False
        if said.status == "running":
            self._set(said.experiment_id, said.treatment_version, said.ramp_pct)
        elif said.experiment_id == self.experiment_id:
            self._set("", "", 0)
        return True

    def _set(self, experiment_id: str, treatment: str, ramp_pct: int) -> None:
        self.memory["experiment"] = experiment_id.encode()
        self.memory["treatment"] = treatment.encode()
        self.memory["ramp_pct"] = ramp_pct
