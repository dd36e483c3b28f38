"""Compression telemetry in; oracle labels and selector predictions out.

One model per partition learns prequentially: it predicts a transfer, is scored on it,
then learns its label. Only labels from realised outcomes score, because a label made
from the features themselves proves nothing; those from history teach with a tenth of
the weight, so that a fleet without shadow measurement still gets a model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from zlib import crc32

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.arrival import DUPLICATE, FRESH, LATE, LATENESS_MS, REORDERED, arrival, reject_late
from online_models.drift import DriftMonitor, alerts
from online_models.heuristic import CONFIDENCE, heuristic
from online_models.logistic import Logistic, learn, probability
from online_models.oracle import FORMULA, NONE, OUTCOME, SOURCES, Label, label_of
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import compression_batch
from online_models.selector_feature import INPUTS, selector_inputs
from online_models.slot import row_dtype
from schemas.batch import Batch, Output, Result
from schemas.field import ALGORITHMS
from schemas.topic import COMPRESSION_LABEL, COMPRESSION_PREDICTION, DRIFT_ALERT, Topic

MODEL_NAME: Final = "logistic"
MODEL_VERSION: Final = "sgd-1"
READY_AFTER: Final = 300
"""Labels learned before the model's answers are published."""

CONFIDENT: Final = 0.6
HISTORY_WEIGHT: Final = 0.1

REASONS: Final = ("", "not_ready", "low_confidence")
_NOT_READY: Final = 1
_UNSURE: Final = 2

_ALGORITHM: Final = np.array(ALGORITHMS, object)
_SOURCE: Final = np.array(SOURCES, object)
_REASON: Final = np.array(REASONS, object)

_SAME_MS: Final = 8

_LINK: Final = row_dtype(("clock", "i8"), ("count", "i8"), ("events", "i8"), ("event", "u4", (_SAME_MS,)))
"""One link's state; `event` holds digests of the newest of the `events` transfers at the clock's millisecond."""

DECISION: Final = np.dtype(
    [
        ("algorithm", "i8"),
        ("probability", "f8"),
        ("confidence", "f8"),
        ("reason", "i8"),
        ("scored", "?"),
        ("wrong", "?"),
    ]
)
"""What was decided for a row; `wrong` is the model's own error, where it was scored."""


class CompressionState(PartitionState):
    """One partition's selector.

    Parameters
    ----------
    lateness_ms
        How far behind its link's clock a transfer may be and still be answered.
    ready_after
        Labels to learn before the model answers instead of the heuristic.
    idle_ms
        How long a silent link is remembered.
    """

    def __init__(self, lateness_ms: int = LATENESS_MS, ready_after: int = READY_AFTER, idle_ms: int = IDLE_MS) -> None:
        self._lateness_ms = lateness_ms
        self._ready_after = ready_after
        self.model = Logistic(INPUTS)
        self._learned = np.zeros(1, np.int64)
        self._drift = DriftMonitor(MODEL_NAME, "error", MODEL_VERSION)
        self._seen = np.zeros(4, np.int64)
        self._class = np.zeros(2, np.int64)
        self._right = np.zeros(3, np.int64)
        self._regret = np.zeros(2)
        self._fallback = np.zeros(3, np.int64)
        shared = {
            "model": self.model.state,
            "intercept": self.model.intercept,
            "learned": self._learned,
            "drift": self._drift.memory,
            "seen": self._seen,
            "class": self._class,
            "right": self._right,
            "regret": self._regret,
            "fallback": self._fallback,
        }
        super().__init__(_LINK, shared, idle_ms)

    def restored(self) -> None:
        """Rebuild the drift detector."""
        self._drift.rebuild()

    def apply(self, batch: Batch) -> Result:
        """A prediction for every transfer that is not late, and a label where one can be told."""
        columns = batch.columns
        n = len(batch)
        timestamp = np.ascontiguousarray(columns["timestamp"], np.int64)
        label = label_of(columns)
        rule = heuristic(columns)
        slot = self._table.index(batch.key)
        event = np.array([crc32(event_id.encode()) for event_id in columns["event_id"].tolist()], np.uint32)
        kind = np.empty(n, np.int64)
        clock = np.empty(n, np.int64)
        decision = np.zeros(n, DECISION)
        _step(
            self._table.rows,
            self.model.state,
            self.model.intercept,
            self._learned,
            slot,
            timestamp,
            event,
            selector_inputs(columns),
            label.label,
            label.source,
            rule,
            self._lateness_ms,
            self._ready_after,
            kind,
            clock,
            decision,
        )
        self._count(kind, decision, label, rule)
        answered = np.flatnonzero(kind != LATE)
        labelled = np.flatnonzero((kind != LATE) & (label.label != NONE))
        outputs: dict[Topic, Output] = {}
        if len(labelled):
            outputs[COMPRESSION_LABEL] = _labels(columns, labelled, label)
        if len(answered):
            outputs[COMPRESSION_PREDICTION] = _predictions(columns, answered, decision[answered], rule[answered])
        scored = np.flatnonzero(decision["scored"])
        shifts = self._drift.update(scored.tolist(), decision["wrong"][scored].astype(np.float64).tolist())
        if found := alerts(batch, shifts):
            outputs[DRIFT_ALERT] = found
        return Result(outputs, reject_late(kind, timestamp, clock, self._lateness_ms))

    def _count(self, kind: NDArray[Any], decision: NDArray[Any], label: Label, rule: NDArray[np.int64]) -> None:
        self._seen += np.bincount(kind, minlength=4)
        self._fallback += np.bincount(decision["reason"][kind != LATE], minlength=3)
        scored = decision["scored"]
        truth = label.label[scored]
        made = decision["algorithm"][scored]
        margin = label.margin[scored]
        self._class += np.bincount(truth, minlength=2)
        self._right += [
            np.count_nonzero(made == truth),
            np.count_nonzero(~decision["wrong"][scored]),
            np.count_nonzero(rule[scored] == truth),
        ]
        for k, wrong in enumerate((made != truth, rule[scored] != truth)):
            # In row order, one by one: numpy's sum would depend on how the stream was cut.
            self._regret[k] = np.add.accumulate(np.append(self._regret[k], margin[wrong]))[-1]

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Prequential accuracy of what was published, beside its bars, and regret (share of utility lost)."""
        scored = float(self._class.sum())
        return {
            "selector_links": (float(len(self)), None),
            "selector_transfers": (float(self._seen.sum()), None),
            "selector_duplicates": (float(self._seen[DUPLICATE]), None),
            "selector_reordered": (float(self._seen[REORDERED]), None),
            "selector_late": (float(self._seen[LATE]), None),
            "selector_learned": (float(self._learned[0]), None),
            "selector_scored": (scored, None),
            "selector_accuracy": (float(self._right[0]), scored),
            "selector_model_accuracy": (float(self._right[1]), scored),
            "selector_heuristic_accuracy": (float(self._right[2]), scored),
            "selector_majority_accuracy": (float(self._class.max()), scored),
            "selector_regret": (float(self._regret[0]), scored),
            "selector_heuristic_regret": (float(self._regret[1]), scored),
            "selector_fallback_not_ready": (float(self._fallback[_NOT_READY]), None),
            "selector_fallback_low_confidence": (float(self._fallback[_UNSURE]), None),
        }

    @classmethod
    def warm(cls) -> None:
        """Compile every kernel by running a few transfers of one link."""
        state = cls()
        state.step(compression_batch(timestamps_ms=[0, 1000, 2000]))
        state.gauges()


@njit(cache=True)
def _step(
    links: NDArray[Any],
    state: NDArray[Any],
    intercept: NDArray[Any],
    learned: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    event: NDArray[Any],
    x: NDArray[Any],
    label: NDArray[Any],
    source: NDArray[Any],
    rule: NDArray[Any],
    lateness_ms: int,
    ready_after: int,
    kind: NDArray[Any],
    clock: NDArray[Any],
    decision: NDArray[Any],
) -> None:
    for i in range(len(slot)):
        link = links[slot[i]]
        clock[i] = link.clock
        kind[i] = arrival(link.count > 0, link.clock, timestamp[i], lateness_ms)
        if kind[i] == LATE:
            continue
        if kind[i] == DUPLICATE and not _is_known(link, event[i]):  # another transfer in the same millisecond
            kind[i] = FRESH
        made = decision[i]
        made.probability = probability(state, intercept, x[i])
        voted = 1 if made.probability > 0.5 else 0
        made.algorithm = voted
        made.confidence = max(made.probability, 1.0 - made.probability)
        if learned[0] < ready_after:
            made.reason = _NOT_READY
        elif made.confidence <= CONFIDENT:
            made.reason = _UNSURE
        if made.reason != 0:
            made.algorithm = rule[i]
            made.confidence = CONFIDENCE
        if kind[i] != FRESH:
            continue
        if timestamp[i] > link.clock:
            link.events = 0
        link.event[link.events % _SAME_MS] = event[i]
        link.events += 1
        link.clock = timestamp[i]
        link.count += 1
        if label[i] == NONE:
            continue
        made.scored = source[i] == OUTCOME
        made.wrong = made.scored and voted != label[i]
        learn(state, intercept, x[i], label[i], 1.0 if made.scored else HISTORY_WEIGHT)
        learned[0] += 1


@njit(cache=True)
def _is_known(link: Any, event: int) -> bool:
    known = False
    for k in range(min(link.events, _SAME_MS)):
        known = known or link.event[k] == event
    return known


def _labels(columns: Mapping[str, NDArray[Any]], row: NDArray[np.intp], label: Label) -> Output:
    names = ("event_id", "timestamp", "node_id", "peer_id", "link_type")
    found: dict[str, Any] = {name: columns[name][row] for name in names} | {
        "label": _ALGORITHM[label.label[row]],
        "utility_hde": label.utility_hde[row],
        "utility_amst": label.utility_amst[row],
        "margin": label.margin[row],
        "formula": [FORMULA] * len(row),
        "label_source": _SOURCE[label.source[row]],
    }
    return Output(row, found)


def _predictions(
    columns: Mapping[str, NDArray[Any]], row: NDArray[np.intp], decision: NDArray[Any], rule: NDArray[np.int64]
) -> Output:
    names = ("event_id", "request_id", "timestamp", "node_id", "peer_id", "link_type")
    found: dict[str, Any] = {name: columns[name][row] for name in names} | {
        "algorithm": _ALGORITHM[decision["algorithm"]],
        "probability_amst": decision["probability"],
        "confidence": decision["confidence"],
        "heuristic_algorithm": _ALGORITHM[rule],
        "fallback": decision["reason"] != 0,
        "fallback_reason": _REASON[decision["reason"]],
        "model_name": [MODEL_NAME] * len(row),
        "model_version": [MODEL_VERSION] * len(row),
    }
    return Output(row, found)
