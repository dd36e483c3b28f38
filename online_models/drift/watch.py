"""Drift of what the trained models are asked with, and of what they answer: daily PSI and KS per feature.

Inputs are watched as they are read; answers as another part of the same agent gives them. When a
model becomes champion, inputs are held against its training data, where its manifest has theirs.
Drift of inputs comes before drift of errors, which needs labels and is watched by the
models' own monitors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from online_models.drift.distribution import DAY_MS, LEAST, Distribution, Drift
from online_models.partition import PartitionState
from online_models.selector.feature import feature_matrix
from online_models.served import Served
from online_models.slot import row_dtype
from schemas.batch import Batch, Control, Output, Result, matrix
from schemas.compression import FEATURES
from schemas.topic import COMPRESSION_PREDICTION, DRIFT_ALERT, NETWORK_FORECAST, Topic

_ROW: Final = row_dtype(("clock", "i8"))
_NETWORK_INPUTS: Final = (
    "throughput_mbps",
    "rtt_ms",
    "packet_loss",
    "jitter_ms",
    "congestion_window",
    "queue_depth",
    "retransmits",
)
_FORECASTS: Final = (
    "predicted_bandwidth_mbps",
    "predicted_latency_ms",
    "predicted_packet_loss",
    "predicted_jitter_ms",
)


class DistributionWatch(PartitionState):
    """One partition's stream of features or answers.

    Parameters
    ----------
    window_ms, least
        As of `Distribution`.
    """

    model: ClassVar[str]
    """Name under which it is announced."""
    names: ClassVar[Sequence[str]]
    inputs: ClassVar[bool] = False
    """Whether what is watched are the model's inputs, which its manifest may describe."""

    def __init__(self, window_ms: int = DAY_MS, least: int = LEAST) -> None:
        self._distribution = Distribution(self.names, window_ms, least)
        self._said = np.zeros(2, np.int64)
        """Warnings, alerts."""
        self._model = Served(self.model)
        served = (self._model,) if self.inputs else ()
        super().__init__(_ROW, {**self._distribution.arrays, "said": self._said}, served=served)

    def matrix(self, columns: Mapping[str, Any]) -> NDArray[Any]:
        """What is watched of each record, `[n, name]`; NaN where missing."""
        return matrix(columns, self.names)

    def refer(self, reference: Mapping[str, Sequence[float]], version: str) -> None:
        """Hold the stream against a model's training data from now on, as its manifest carries it."""
        self._distribution.refer(reference, version)

    def control(self, control: Control) -> Result:
        """Take announcements in; another champion's training data becomes the reference."""
        before = self._model.version("champion")
        result = super().control(control)
        champion, version = self._model.get("champion"), self._model.version("champion")
        if champion is not None and version != before:
            reference = champion.manifest.reference
            if not reference.keys().isdisjoint(self.names):
                self.refer(reference, version)
        return result

    def apply(self, batch: Batch) -> Result:
        """Count the records; alerts of the windows that they end."""
        return self._count(batch.columns)

    def _count(self, columns: Mapping[str, Any]) -> Result:
        time_ms = np.asarray(columns["timestamp"], np.int64)
        found = self._distribution.step(time_ms, self.matrix(columns))
        if not found:
            return Result()
        alerts = sum(drift.level == "alert" for _, drift in found)
        self._said += (len(found) - alerts, alerts)
        return Result({DRIFT_ALERT: self._records(time_ms, found)})

    def restored(self) -> None:
        """Nothing is derived."""

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Warnings and alerts so far."""
        name = type(self).__name__.removesuffix("Watch")
        prefix = "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
        return {
            f"{prefix}_drift_warnings": (float(self._said[0]), None),
            f"{prefix}_drift_alerts": (float(self._said[1]), None),
        }

    @classmethod
    def warm(cls) -> None:
        """Compile the counting."""
        Distribution(cls.names).step(np.zeros(1, np.int64), np.zeros((1, len(cls.names))))

    def _records(self, time_ms: NDArray[np.int64], found: Sequence[tuple[int, Drift]]) -> Output:
        row = np.array([at for at, _ in found], np.intp)
        drifts = [drift for _, drift in found]
        version = self._distribution.reference_version
        columns: dict[str, Sequence[Any] | NDArray[Any]] = {
            "timestamp": time_ms[row],
            "model": [self.model] * len(row),
            "feature": [drift.feature for drift in drifts],
            "statistic": [drift.statistic for drift in drifts],
            "value": [drift.value for drift in drifts],
            "threshold": [drift.threshold for drift in drifts],
            "window": [drift.window for drift in drifts],
            "reference_version": [version] * len(row),
            "level": [drift.level for drift in drifts],
        }
        return Output(row, columns)


class AnswerWatch(DistributionWatch):
    """A part that watches what the parts before it publish."""

    answers: ClassVar[Topic]
    """Where that goes."""

    def follow(self, batch: Batch, results: Sequence[Result]) -> Result:
        """Count the answers to a batch; alerts are of the rows whose answers end a window."""
        for result in results:
            answer = result.outputs.get(self.answers)
            if answer is not None:
                found = self._count(answer.columns)
                outputs = {topic: one._replace(row=answer.row[one.row]) for topic, one in found.outputs.items()}
                return Result(outputs)
        return Result()


class SelectorInputWatch(DistributionWatch):
    """The selector's 19 features; of `COMPRESSION_KEYED`."""

    model = "selector"
    names = FEATURES
    inputs = True

    def matrix(self, columns: Mapping[str, Any]) -> NDArray[Any]:
        """The features as trained models take them."""
        return feature_matrix(columns)


class SelectorAnswerWatch(AnswerWatch):
    """The selector's probability."""

    model = "selector"
    names = ("probability_amst",)
    answers = COMPRESSION_PREDICTION


class ForecasterInputWatch(DistributionWatch):
    """What the forecaster sees of links; of `NETWORK_KEYED`."""

    model = "bandwidth"
    names = _NETWORK_INPUTS
    inputs = True


class ForecasterAnswerWatch(AnswerWatch):
    """The four forecasts."""

    model = "bandwidth"
    names = _FORECASTS
    answers = NETWORK_FORECAST
