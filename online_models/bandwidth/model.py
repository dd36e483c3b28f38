"""The trained forecaster that serves: its announcements, one question per batch, and what went wrong with it.

It is one voice more in the forecaster's vote and is believed as far as it did better
lately; without an answer of it a forecast is what it would be without a trained model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from online_models.bandwidth.expert import LEVEL
from online_models.bandwidth.forecaster import renew_trained
from online_models.bandwidth.trained_input import make_context
from online_models.bandwidth.waiting import STEP
from online_models.served import Model, Served, gauges
from schemas.error import ModelError
from schemas.network import HORIZON_MS

MODEL_NAME: Final = "bandwidth"
OUTPUT: Final = "forecast"
"""The output that a forecaster must have, `[n, 4]`."""

_REACH: Final = 32_767.0
_ROWS: Final = 8
_NUMBERS: Final = 8
"""Trained models that waiting forecasts can tell apart: so many changes within a horizon."""


def ask_forecaster(
    model: Model, made: NDArray[Any], feature: NDArray[Any], horizon_ms: int = HORIZON_MS
) -> NDArray[np.float64]:
    """What a model says of prepared forecasts, `[n, 4]`; NaN where it cannot answer.

    In whole steps of a spread from the level, as lessons keep it: the last digits of single precision
    may differ with the size of a batch, which is why there are always some rows more than asked, too.

    Parameters
    ----------
    made
        `FORECAST` records, prepared, `[n]`.
    feature
        Enhanced features of the same samples, `[n, 34]`.
    """
    context = make_context(made["expert"], made["scale"], made["made_at"] + horizon_ms)
    with np.errstate(over="ignore"):
        x = np.concatenate([context, feature], axis=1, dtype=np.float32, casting="same_kind")
    said = np.full((len(x), 4), np.nan)
    fit = np.flatnonzero(np.isfinite(x).all(axis=1))
    said[fit] = _ask(model, x[fit])
    level, unit = made["expert"][:, LEVEL], STEP * made["scale"]
    steps = np.clip(np.rint((said - level) / unit), -_REACH, _REACH)
    return np.asarray(level + steps * unit, np.float64)


def _ask(model: Model, x: NDArray[np.float32]) -> NDArray[Any]:
    """Answers; a batch that fails is asked in halves, so that rows fail alone however a stream is cut."""
    if not len(x):
        return np.empty((0, 4))
    more = _ROWS - len(x) % _ROWS
    try:
        said = model.predict(np.concatenate([x, np.repeat(x[-1:], more, axis=0)]))[OUTPUT]
        if said.shape == (len(x) + more, 4):
            return said[: len(x)]
    except (ModelError, KeyError):
        pass
    if len(x) == 1:
        return np.full((1, 4), np.nan)
    half = len(x) // 2
    return np.concatenate([_ask(model, x[:half]), _ask(model, x[half:])])


class ForecastModel:
    """The champion among announced forecasters.

    Parameters
    ----------
    models
        What the links of each type share; forgotten of a trained model when another one serves.
    """

    def __init__(self, models: NDArray[Any]) -> None:
        self.served = Served(MODEL_NAME)
        self._models = models
        self._epoch = np.zeros(1, np.int64)
        self._versions = np.zeros(_NUMBERS, "S128")
        self._count = np.zeros(3, np.int64)
        """Rows asked, of these not answered, and forecasts that it had a part in."""

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays for the state that it belongs to, besides those of `served`."""
        return {"trained_epoch": self._epoch, "trained_versions": self._versions, "trained_count": self._count}

    @property
    def serving(self) -> tuple[int, int]:
        """How many changes there were, and the number of the present model in what waits."""
        epoch = int(self._epoch[0])
        return epoch, 1 + epoch % _NUMBERS

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around a control: begin anew if another champion serves after it."""
        before = self.served.memory[0].tobytes()
        yield
        if self.served.memory[0].tobytes() == before:
            return
        self._epoch += 1
        self._versions[self.serving[1] - 1] = self.served.version("champion").encode()
        for model in self._models:
            renew_trained(model)

    def ask(self, made: NDArray[Any], feature: NDArray[Any], wanted: NDArray[np.bool_]) -> None:
        """Write what the champion says of the wanted rows, if there is one, into the prepared forecasts."""
        model = self.served.get("champion")
        if model is None or not wanted.any():
            return
        row = np.flatnonzero(wanted)
        said = ask_forecaster(model, made[row], feature[row])
        made["trained"][row] = said
        self._count[:2] += np.array([len(row), np.count_nonzero(np.isnan(said).any(axis=1))])

    def names(self, trained_by: NDArray[Any], version: str) -> list[str]:
        """Model versions of forecasts, given the online forecaster's."""
        known = [version, *(f"{version}+{one.decode()}" for one in self._versions.tolist())]
        return [known[k] for k in trained_by.tolist()]

    def tell(self, made: NDArray[Any]) -> None:
        """Count the forecasts that the model had a part in."""
        self._count[2] += np.count_nonzero(made["trained_by"])

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """What was asked, what failed, what it was used for, and who is announced."""
        names = ("asked", "failed", "used")
        counts = {f"forecast_model_{name}": (float(self._count[k]), None) for k, name in enumerate(names)}
        return counts | dict(gauges(self.served))
