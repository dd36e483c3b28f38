"""System metrics in; the features of every node and predictions of its degradation out.

Both look at one buffer of the node's last samples. Features are told every `period_ms`; a prediction every
`publish_ms`, by default one horizon, so that predictions lie back to back, and at once when a breach
becomes likely. A trained model, where one is announced, answers instead of the online one; the online one
goes on learning, names the drivers, and answers where the other fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.answer import ask
from online_models.arrival import DUPLICATE, FRESH, LATE, LATENESS_MS, REORDERED, arrival, reject_late
from online_models.collector.buffer import PERIOD_MS, WINDOW, Collected, buffer_fields, collect
from online_models.collector.feature import N_FEATURES, RANKED_MAX
from online_models.partition import IDLE_MS, PartitionState
from online_models.performance.input import CONTEXT, INPUT_NAMES, MOMENT, N_INPUTS, STEPS, observe, write_input
from online_models.performance.mixture import N_OPINIONS, new_mix
from online_models.performance.model import (
    BREACH,
    N_DRIVERS,
    SCORE,
    close_breach,
    confidence_of,
    new_breach,
    open_breach,
    pending_fields,
    predict_breach,
    predict_change,
    remember,
    settle,
    start_node,
    write_drivers,
)
from online_models.performance.record import LIKELY, feature_records, prediction_records
from online_models.sample import system_batch
from online_models.served import Served
from online_models.served import gauges as served_gauges
from online_models.slot import row_dtype
from schemas.batch import Batch, Output, Result, matrix
from schemas.error import ConfigError
from schemas.performance import HORIZON_STEPS
from schemas.system import METRICS
from schemas.topic import PERFORMANCE_FEATURES, PERFORMANCE_PREDICTION, Topic

MODEL_NAME: Final = "performance"
MODEL_VERSION: Final = "online-2"

OBJECTIVE_MS: Final = 200.0
"""The documented warning threshold of latency."""

PUBLISH_MS: Final = 25_000

ANSWER: Final = row_dtype(
    ("published", "u1"),
    ("probability", "f8"),
    ("confidence", "f8"),
    ("current", "f8"),
    ("scale", "f8"),
    ("step_ms", "i8"),
    ("predicted", "f8", (HORIZON_STEPS,)),
    ("driver", "i8", (N_DRIVERS,)),
)
"""What is said of one row."""


class PerformanceState(PartitionState):
    """One partition's nodes.

    Parameters
    ----------
    window
        Samples that features are made of, 64..10,000; 72 bytes each per node.
    period_ms
        How often a node's features are told, in event time.
    publish_ms
        How often its prediction is.
    objective_ms
        What its mean latency must not exceed.
    lateness_ms
        How far behind its node's clock a record may be without being rejected.
    idle_ms
        How long a silent node is remembered.

    Raises
    ------
    ConfigError
        When a parameter cannot work.
    """

    def __init__(
        self,
        window: int = WINDOW,
        period_ms: int = PERIOD_MS,
        publish_ms: int = PUBLISH_MS,
        objective_ms: float = OBJECTIVE_MS,
        lateness_ms: int = LATENESS_MS,
        idle_ms: int = IDLE_MS,
    ) -> None:
        if not objective_ms > 0.0:
            raise ConfigError("objective_ms", objective_ms, "a latency above 0 ms")
        self._period_ms, self._publish_ms = period_ms, publish_ms
        self._objective_ms, self._lateness_ms = objective_ms, lateness_ms
        self._breach = new_breach(INPUT_NAMES)
        self._mix = new_mix()
        self._score = np.zeros(1, SCORE)
        self._kinds = np.zeros(4, np.int64)
        self._told = np.zeros(2, np.int64)
        self._champion = Served(MODEL_NAME)
        self._room = Collected(window)
        self._work = _Work()
        row = row_dtype(
            *buffer_fields(window), *CONTEXT, *pending_fields(), ("published", "i8"), ("published_probability", "f8")
        )
        shared = {
            "breach": self._breach.state,
            "breach_intercept": self._breach.intercept,
            "mix": self._mix,
            "score": self._score,
            "kinds": self._kinds,
            "told": self._told,
        }
        super().__init__(row, shared, idle_ms, [self._champion])

    def restored(self) -> None:
        """Nothing is derived from the shared arrays."""

    @property
    def bytes_per_node(self) -> int:
        """What a node's row takes."""
        return self._table.dtype.itemsize

    def apply(self, batch: Batch) -> Result:
        """Features and predictions that are due at these records."""
        columns, n = batch.columns, len(batch)
        timestamp = np.ascontiguousarray(columns["timestamp"], np.int64)
        x = matrix(batch.columns, METRICS)
        slot = self._table.index(batch.key)
        kind, clock = np.empty(n, np.int64), np.empty(n, np.int64)
        answer, inputs = np.zeros(n, ANSWER), np.zeros((n, N_INPUTS), np.float32)
        outputs: dict[Topic, Output] = {}
        if collected := self._step(slot, timestamp, x, kind, clock, answer, inputs):
            about, features = map(np.concatenate, zip(*collected, strict=True))
            self._told[0] += len(about)
            outputs[PERFORMANCE_FEATURES] = feature_records(columns, about, features)
        row = answer["published"].nonzero()[0]
        if len(row):
            self._told[1] += len(row)
            found = answer[row]
            names, versions = self._ask(found, inputs[row])
            outputs[PERFORMANCE_PREDICTION] = prediction_records(
                columns, row, found, self._objective_ms, names, versions
            )
        return Result(outputs, reject_late(kind, timestamp, clock, self._lateness_ms))

    def _step(
        self, slot: NDArray[Any], timestamp: NDArray[Any], x: NDArray[Any], kind: NDArray[Any], clock: NDArray[Any],
        answer: NDArray[Any], inputs: NDArray[Any],
    ) -> list[tuple[NDArray[Any], NDArray[np.float64]]]:  # fmt: skip
        """Step over the rows; what the features that fell due are of, and the features, a room full at a time."""
        room, work = self._room, self._work
        collected = []
        at = 0
        while at < len(slot):
            at, made = _step(
                self._table.rows, self._breach.state, self._breach.intercept, self._mix, self._score,
                at, slot, timestamp, x, self._lateness_ms, self._period_ms, self._publish_ms, self._objective_ms,
                self._kinds, kind, clock, answer, inputs,
                room.time, room.value, room.work, room.features, room.even, room.ordered, room.about,
                work.time, work.value, work.key, work.ordered, work.gaps, work.features, work.moment,
                work.x, work.change, work.opinion, work.regressor, work.gain, work.breach,
            )  # fmt: skip
            if made:
                collected.append(room.finish(made))
        return collected

    def _ask(self, answer: NDArray[Any], inputs: NDArray[np.float32]) -> tuple[list[str], list[str]]:
        """Let the trained model answer where there is one; who answered each row."""
        n = len(answer)
        model = self._champion.get("champion")
        if model is None:
            return [MODEL_NAME] * n, [MODEL_VERSION] * n
        probability, change = ask(model, inputs, {"probability": (), "change": (HORIZON_STEPS,)})
        said = np.flatnonzero(~np.isnan(probability))
        answer["probability"][said] = np.clip(probability[said], 0.0, 1.0)
        current, scale = answer["current"][said, None], answer["scale"][said, None]
        answer["predicted"][said] = np.maximum(current + scale * change[said], 0.0)
        version = np.full(n, MODEL_VERSION, object)
        version[said] = model.manifest.model_version
        return [MODEL_NAME] * n, version.tolist()

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Counts, and what predictions turned out to be worth; errors of the change in a window's deviations."""
        score = self._score[0]
        count, rate = float(score["count"]), float(score["breaches"]) / max(float(score["count"]), 1.0)
        counts = {"records": self._kinds.sum(), "duplicates": self._kinds[DUPLICATE]}
        counts |= {"reordered": self._kinds[REORDERED], "late": self._kinds[LATE], "nodes": len(self)}
        counts |= {"features": self._told[0], "predictions": self._told[1], "scored": count}
        found: dict[str, tuple[float, float | None]] = {
            f"performance_{name}": (float(value), None) for name, value in counts.items()
        }
        found["performance_breach_ratio"] = (float(score["breaches"]), count)
        found["performance_brier"] = (float(score["brier"]), count)
        found["performance_brier_base"] = (count * rate * (1.0 - rate), count)
        for name, error in zip(("", "_line", "_persistence", "_moving_average"), score["error"].tolist(), strict=True):
            found[f"performance_change_error{name}"] = (error, count)
        return found | dict(served_gauges(self._champion))

    @classmethod
    def warm(cls) -> None:
        """Compile the kernels by collecting and predicting."""
        state = cls()
        state.step(system_batch(timestamps_ms=range(0, 200_000, 5_000)))
        state.gauges()


class _Work:
    """Work space of the predictor's kernels."""

    def __init__(self) -> None:
        self.time = np.zeros(STEPS, np.int64)
        self.value = np.zeros((len(METRICS), RANKED_MAX))
        self.key = np.zeros(RANKED_MAX, np.float32)
        self.ordered, self.gaps = np.zeros(STEPS), np.zeros(STEPS, np.int64)
        self.features = np.zeros(N_FEATURES)
        self.moment = np.zeros(1, MOMENT)
        self.x = np.zeros(N_INPUTS)
        self.change, self.opinion = np.zeros((HORIZON_STEPS, 4)), np.zeros(N_OPINIONS)
        self.regressor, self.gain = np.zeros(4), np.zeros(4)
        self.breach = np.zeros((len(BREACH), N_INPUTS))


@njit(cache=True)
def _step(
    nodes: Any, state: Any, intercept: Any, mixes: Any, scores: Any, at: int, slot: Any, timestamp: Any, x: Any,
    lateness_ms: int, period_ms: int, publish_ms: int, objective: float,
    kinds: Any, kind: Any, clock: Any, answer: Any, inputs: Any,
    c_time: Any, c_value: Any, c_work: Any, c_features: Any, c_even: Any, c_ordered: Any, c_about: Any,
    time: Any, value: Any, key: Any, ordered: Any, gaps: Any, features: Any, moment: Any,
    input_: Any, change: Any, opinion: Any, regressor: Any, gain: Any, breach: Any,
) -> tuple[int, int]:  # fmt: skip
    """Step over rows from `at` on until they end or the room for features is full: where, and how many."""
    made = 0
    score, mix = scores[0], mixes[0]
    open_breach(state, breach)
    end = len(slot)
    for i in range(at, len(slot)):
        if made == len(c_about):
            end = i
            break
        node = nodes[slot[i]]
        clock[i] = node.clock
        kind[i] = arrival(node.seen > 0, node.clock, timestamp[i], lateness_ms)
        kinds[kind[i]] += 1
        if kind[i] != FRESH:
            continue
        if node.seen == 0:
            start_node(node)
            node.published = timestamp[i] - publish_ms
        observe(node, timestamp[i], x[i], objective)
        settle(node, objective, state, intercept, breach, mix, score, input_, regressor, gain)
        write_input(node, objective, time, value, key, ordered, gaps, features, input_, moment[0])
        if moment[0].ready:
            for j in range(input_.shape[0]):
                inputs[i, j] = input_[j]
                input_[j] = inputs[i, j]  # what is remembered, in single precision, is what is predicted from
            predict_breach(intercept, breach, mix, input_, opinion)
            probability = opinion[0]
            predict_change(node, input_, change, regressor)
            remember(node, timestamp[i], moment[0], input_, opinion, change)
            alarming = probability >= LIKELY and node.published_probability < LIKELY
            if alarming or timestamp[i] - node.published >= publish_ms:
                _answer(score, breach, moment[0], input_, probability, change, answer[i])
                node.published = timestamp[i]
                node.published_probability = probability
        if timestamp[i] - node.collected >= period_ms:
            collect(node, c_time, c_value, c_work, c_features[made], c_even[made], c_ordered[made], c_about[made])
            c_about[made].row = i
            made += 1
    close_breach(state, breach)
    return end, made


@njit(cache=True)
def _answer(
    score: Any,
    breach: NDArray[Any],
    moment: Any,
    x: NDArray[Any],
    probability: float,
    change: NDArray[Any],
    answer: Any,
) -> None:
    answer.published = 1
    answer.probability = probability
    answer.confidence = confidence_of(score)
    answer.current = moment.current
    answer.scale = moment.scale
    answer.step_ms = moment.spacing_ms
    for h in range(HORIZON_STEPS):
        answer.predicted[h] = max(moment.current + moment.scale * change[h, 0], 0.0)
    write_drivers(breach, x, answer.driver)
