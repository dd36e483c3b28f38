"""Trained forecasters by role: their announcements, one question per batch and model, and what went wrong.

The champion, on links of an experiment's treatment the challenger, is one voice more in the
forecaster's vote and is believed as far as it did better lately; without an answer of it a forecast is
what it would be without a trained model. A shadow is asked and judged, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from online_models.bandwidth.expert import LEVEL
from online_models.bandwidth.trained_input import COMPACT, Window, compact_windows, make_context, window_of
from online_models.bandwidth.trial import renew_arms, renew_shadow
from online_models.bandwidth.vote import renew_trained
from online_models.bandwidth.waiting import STEP
from online_models.experiment.arm import TREATMENT
from online_models.experiment.trial import Trial
from online_models.served import ROLES, Model, Served, gauges
from online_models.taken import Key
from schemas.batch import Control
from schemas.error import ModelError
from schemas.network import HORIZON_MS

MODEL_NAME: Final = "bandwidth"
OUTPUT: Final = "forecast"
"""The output that a forecaster must have, `[n, 4]`."""

_REACH: Final = 32_767.0
_ROWS: Final = 8
_NUMBERS: Final = 8
"""Trained models that waiting forecasts can tell apart: so many new ones within a horizon."""

_SERVING: Final = ("champion", "challenger")

Serving = Mapping[str, Model]
"""The models that are asked, by role."""


class Question(NamedTuple):
    """What models are asked about a batch.

    Parameters
    ----------
    feature
        Enhanced features, `[n, 34]`.
    recent
        Targets of each link's last ten samples, oldest first, `[n, 10, 4]`; `[0, 10, 4]` where nobody asks.
    period_ms
        Usual distances of each link's samples, `[n]`.
    """

    feature: NDArray[Any]
    recent: NDArray[Any]
    period_ms: NDArray[Any]

    def of(self, row: NDArray[np.intp]) -> Question:
        """The question about some rows."""
        return Question(self.feature[row], self.recent[row] if len(self.recent) else self.recent, self.period_ms[row])


def asks_recent(serving: Serving) -> bool:
    """Whether a model asks each link's last samples."""
    return any(window_of(model.manifest.feature_names) is COMPACT for model in serving.values())


def ask_forecaster(
    model: Model, made: NDArray[Any], question: Question, horizon_ms: int = HORIZON_MS
) -> NDArray[np.float64]:
    """What a model says of prepared forecasts, `[n, 4]`; NaN where it cannot answer.

    In whole steps of a spread from the level, as lessons keep it: the last digits of single precision
    may differ with the size of a batch, which is why there are always some rows more than asked, too.

    Parameters
    ----------
    made
        `FORECAST` records, prepared, `[n]`.
    question
        Of the same samples.
    """
    context = make_context(made["expert"], made["scale"], made["made_at"] + horizon_ms)
    window = _window(window_of(model.manifest.feature_names), made, question)
    with np.errstate(over="ignore"):
        x = np.concatenate([context, window], axis=1, dtype=np.float32, casting="same_kind")
    said = np.full((len(x), 4), np.nan)
    fit = np.flatnonzero(np.isfinite(x).all(axis=1))
    said[fit] = _ask(model, x[fit])
    level, unit = made["expert"][:, LEVEL], STEP * made["scale"]
    steps = np.clip(np.rint((said - level) / unit), -_REACH, _REACH)
    return np.asarray(level + steps * unit, np.float64)


def _window(window: Window, made: NDArray[Any], question: Question) -> NDArray[Any]:
    if window is COMPACT:
        return compact_windows(question.recent, made["made_at"], question.period_ms).reshape(len(made), -1)
    return question.feature


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
    """The announced forecasters of one partition.

    Parameters
    ----------
    models
        What the links of each type share; forgotten of a trained model when another one serves.
    """

    def __init__(self, models: NDArray[Any]) -> None:
        self.served = Served(MODEL_NAME)
        self._trial = Trial(MODEL_NAME)
        self._models = models
        self._changes = np.zeros(1, np.int64)
        self._versions = np.zeros(_NUMBERS, "S128")
        self._since = np.zeros(_NUMBERS, np.int64)
        self._count = np.zeros(3, np.int64)
        """Rows asked, of these not answered, and forecasts that a model had a part in."""

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """Arrays for the state that it belongs to, besides those of `served`."""
        own = {"changes": self._changes, "versions": self._versions, "since": self._since, "count": self._count}
        return {f"trained_{name}": array for name, array in own.items()} | self._trial.shared

    def control(self, control: Control) -> None:
        """Take an experiment's stage in."""
        self._trial.control(control)

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Around an announcement: begin anew with what is known of a role that another version has after it."""
        before = [self.served.version(role) for role in ROLES]
        yield
        champion, challenger, shadow = (self.served.version(role) for role in ROLES)
        for version in (champion, challenger, shadow):
            self._number(version)
        if champion and champion != before[0]:
            renew_trained(self._models, self._epoch(champion))
        if [champion, challenger] != before[:2]:
            renew_arms(self._models)
        if shadow != before[2]:
            renew_shadow(self._models, self._number(shadow))

    def _number(self, version: str) -> int:
        """A version's number in what waits, from 1; a new one takes that of the oldest. 0 of no version."""
        if not version:
            return 0
        known = np.flatnonzero(self._versions == version.encode())
        if len(known):
            return 1 + int(known[0])
        at = int(self._changes[0]) % _NUMBERS
        self._changes += 1
        self._versions[at], self._since[at] = version.encode(), self._changes[0]
        return 1 + at

    def _epoch(self, version: str) -> int:
        return int(self._since[self._number(version) - 1])

    def serving(self) -> Serving:
        """The models in their roles, as far as they are there."""
        found = {role: self.served.get(role) for role in ROLES}
        return {role: model for role, model in found.items() if model is not None}

    def ask(
        self, serving: Serving, made: NDArray[Any], question: Question, keys: Sequence[Key], wanted: NDArray[np.bool_]
    ) -> None:
        """Write what the models say of the wanted rows into the prepared forecasts."""
        champion, challenger, shadow = map(serving.get, ROLES)
        treated = self._treated(keys, challenger)
        self._serve(champion, made, question, np.flatnonzero(wanted & ~treated))
        self._serve(challenger, made, question, np.flatnonzero(wanted & treated))
        row = np.flatnonzero(wanted)
        if shadow is not None and len(row):
            made["shadow"][row] = said = ask_forecaster(shadow, made[row], question.of(row))
            number = self._number(shadow.manifest.model_version)
            made["shadow_by"][row] = np.where(np.isnan(said).any(axis=1), 0, number)

    def _serve(self, model: Model | None, made: NDArray[Any], question: Question, row: NDArray[np.intp]) -> None:
        if model is None or not len(row):
            return
        version = model.manifest.model_version
        made["trained"][row] = said = ask_forecaster(model, made[row], question.of(row))
        made["asked"][row], made["epoch"][row] = self._number(version), self._epoch(version)
        self._count[:2] += np.array([len(row), np.count_nonzero(np.isnan(said).any(axis=1))])

    def _treated(self, keys: Sequence[Key], challenger: Model | None) -> NDArray[np.bool_]:
        """Rows of links that are the challenger's, while the version on trial is the challenger here, `[n]`."""
        if not self._trial.tries(challenger):
            return np.zeros(len(keys), np.bool_)
        return np.asarray(self._trial.arms([(key or b"").decode() for key in keys]) == TREATMENT)

    def names(self, trained_by: NDArray[Any], version: str) -> list[str]:
        """Model versions of forecasts, given the online forecaster's."""
        if not trained_by.any():
            return [version] * len(trained_by)
        known = [version, *(f"{version}+{one.decode()}" for one in self._versions.tolist())]
        return [known[k] for k in trained_by.tolist()]

    def tell(self, made: NDArray[Any]) -> None:
        """Count the forecasts that a model had a part in."""
        self._count[2] += np.count_nonzero(made["trained_by"])

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """What was asked, what failed, what it was used for, who is announced, and how trials stand.

        `forecast_shadow_ratio` is the shadow's error over that of what was published; `forecast_trial_<role>_ratio`
        the published error over persistence's on links that the role serves.
        """
        names = ("asked", "failed", "used")
        found: dict[str, tuple[float, float | None]] = {
            f"forecast_model_{name}": (float(self._count[k]), None) for k, name in enumerate(names)
        }
        models = self._models
        found["forecast_shadow_judged"] = (float(models["shadow_judged"].sum()), None)
        found["forecast_shadow_ratio"] = (float(models["shadow_error"].sum()), float(models["shadow_bar"].sum()))
        for arm, role in enumerate(_SERVING):
            found[f"forecast_trial_{role}_judged"] = (float(models["arm_judged"][:, arm].sum()), None)
            error, bar = models["arm_error"][:, arm].sum(), models["arm_bar"][:, arm].sum()
            found[f"forecast_trial_{role}_ratio"] = (float(error), float(bar))
        return found | dict(gauges(self.served))
