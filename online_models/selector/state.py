"""Compression telemetry in; oracle labels and selector predictions out.

One model per partition learns prequentially: it predicts a transfer, is scored on it,
then learns what came of it. Only labels from realised outcomes score, because a label made
from the features themselves proves nothing; those from history teach with a tenth of
the weight, so that a fleet without shadow measurement still gets a model.

A trained *champion* decides before the online model, and that one before the heuristic; a champion that
fails, or is not sure, is never waited for. With `feedback="chosen"` the state is a contextual
bandit: of each transfer it learns the side that it chose and no other, and explores.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal
from zlib import crc32

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.arrival import DUPLICATE, FRESH, LATE, LATENESS_MS, REORDERED, arrival, reject_late
from online_models.drift.monitor import DriftMonitor, alerts
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import compression_batch
from online_models.selector.exploration import WEIGHT_LIMIT, correct, draws, explore_probability
from online_models.selector.feature import INPUTS, payload_kinds, selector_inputs
from online_models.selector.heuristic import CONFIDENCE, heuristic
from online_models.selector.oracle import HISTORY, NONE, OUTCOME, Label, label_of, outcomes, utilities
from online_models.selector.record import (
    CHALLENGER,
    CHAMPION,
    DECISION,
    FAILED,
    NOT_READY,
    ONLINE,
    RULES,
    UNSURE,
    label_records,
    prediction_records,
)
from online_models.selector.trained import TrainedSelector
from online_models.selector.utility import (
    LINK,
    UtilityModel,
    calibrated,
    estimate,
    learn,
    learn_stake,
    log_utility,
    postpone,
    settle,
)
from online_models.served import Model
from online_models.slot import row_dtype
from schemas.batch import Batch, Control, Output, Result
from schemas.topic import COMPRESSION_LABEL, COMPRESSION_PREDICTION, DRIFT_ALERT, Topic

MODEL_NAME: Final = "utility"
MODEL_VERSION: Final = "tiles-1"
RULES_NAME: Final = "heuristic"
RULES_VERSION: Final = "rules-1"
READY_AFTER: Final = 300
"""Labels learned before the model's answers are published."""

CONFIDENT: Final = 0.6
HISTORY_WEIGHT: Final = 0.1

_ONLINE: Final = ((MODEL_NAME, MODEL_VERSION), (RULES_NAME, RULES_VERSION))

Feedback = Literal["both", "chosen"]

_ENTROPY: Final = INPUTS.index("entropy_estimate")
_REPETITION: Final = INPUTS.index("repetition_score")
_SAME_MS: Final = 8

_ROW: Final = row_dtype(("clock", "i8"), ("count", "i8"), ("events", "i8"), ("event", "u4", (_SAME_MS,)), *LINK)
"""One link's state; `event` holds digests of the newest of the `events` transfers at the clock's millisecond."""


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
    champion
        A trained model that decides where it is sure, instead of the one that is announced.
    feedback
        What teaches: `both` sides of a transfer, as far as they were measured, or only the `chosen` one.
    """

    revision = 2

    def __init__(
        self,
        lateness_ms: int = LATENESS_MS,
        ready_after: int = READY_AFTER,
        idle_ms: int = IDLE_MS,
        champion: Model | None = None,
        feedback: Feedback = "both",
    ) -> None:
        self._lateness_ms = lateness_ms
        self._ready_after = ready_after
        self._feedback = feedback
        self._trained = TrainedSelector(champion)
        self.model = UtilityModel(len(INPUTS))
        self._learned = np.zeros(1, np.int64)
        self._drift = DriftMonitor(MODEL_NAME, "error", MODEL_VERSION)
        self._seen = np.zeros(4, np.int64)
        self._class = np.zeros(2, np.int64)
        self._right = np.zeros(3, np.int64)
        self._regret = np.zeros(2)
        self._fallback = np.zeros(4, np.int64)
        self._decided = np.zeros(4, np.int64)
        self._explored = np.zeros(1, np.int64)
        shared = {
            **self.model.shared(),
            **self._trained.shared,
            "learned": self._learned,
            "drift": self._drift.memory,
            "seen": self._seen,
            "class": self._class,
            "right": self._right,
            "regret": self._regret,
            "fallback": self._fallback,
            "decided": self._decided,
            "explored": self._explored,
        }
        super().__init__(_ROW, shared, idle_ms, served=[self._trained.served])

    def control(self, control: Control) -> Result:
        """Take announced models and experiments in."""
        self._trained.control(control)
        return super().control(control)

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
        kind = np.empty(n, np.int64)
        clock = np.empty(n, np.int64)
        decision = np.zeros(n, DECISION)
        explores = self._feedback == "chosen"
        asked = self._trained.ask(columns)
        _step(
            self._table.rows,
            self.model.inputs,
            self.model.tiles,
            self.model.head,
            self._learned,
            self.model.work(),
            slot,
            timestamp,
            np.array([crc32(event_id.encode()) for event_id in columns["event_id"].tolist()], np.uint32),
            selector_inputs(columns),
            payload_kinds(columns),
            _measured(columns),
            asked.probability,
            draws(_requests(columns)) if explores else np.full(n, np.nan),
            label.label,
            label.source,
            label.margin,
            label.utility_hde,
            label.utility_amst,
            rule,
            explores,
            asked.expected,
            self._lateness_ms,
            self._ready_after,
            kind,
            clock,
            decision,
        )
        decision["decider"][asked.treated & (decision["decider"] == CHAMPION)] = CHALLENGER
        self._count(kind, decision, label, rule)
        answered = np.flatnonzero(kind != LATE)
        labelled = np.flatnonzero((kind != LATE) & (label.label != NONE))
        outputs: dict[Topic, Output] = {}
        if len(labelled):
            outputs[COMPRESSION_LABEL] = label_records(columns, labelled, label)
        if len(answered):
            made = prediction_records(columns, answered, decision[answered], rule[answered], _ONLINE, asked)
            outputs[COMPRESSION_PREDICTION] = made
        scored = np.flatnonzero(decision["scored"])
        shifts = self._drift.update(scored.tolist(), decision["wrong"][scored].astype(np.float64).tolist())
        if found := alerts(batch, shifts):
            outputs[DRIFT_ALERT] = found
        return Result(outputs, reject_late(kind, timestamp, clock, self._lateness_ms))

    def _count(self, kind: NDArray[Any], decision: NDArray[Any], label: Label, rule: NDArray[np.int64]) -> None:
        self._seen += np.bincount(kind, minlength=4)
        self._fallback += np.bincount(decision["reason"][kind != LATE], minlength=4)
        self._decided += np.bincount(decision["decider"][kind != LATE], minlength=4)
        self._explored += np.count_nonzero((decision["algorithm"] != decision["greedy"])[kind != LATE])
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
            "selector_fallback_not_ready": (float(self._fallback[NOT_READY]), None),
            "selector_fallback_low_confidence": (float(self._fallback[UNSURE]), None),
            "selector_fallback_model_error": (float(self._fallback[FAILED]), None),
            "selector_decided_online": (float(self._decided[ONLINE]), None),
            "selector_decided_champion": (float(self._decided[CHAMPION]), None),
            "selector_decided_challenger": (float(self._decided[CHALLENGER]), None),
            "selector_explored": (float(self._explored[0]), None),
        }

    @classmethod
    def warm(cls) -> None:
        """Compile every kernel by running a few transfers of one link."""
        for feedback in ("both", "chosen"):
            state = cls(feedback=feedback)
            state.step(compression_batch(timestamps_ms=[0, 1000, 2000]))
            state.gauges()


def _measured(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Realised utilities (NaN where not measured), when each side was complete, ms, and bandwidth, Mbps: `[n, 5]`."""
    seen = outcomes(columns)
    bandwidth_mbps = columns["bandwidth_available_mbps"]
    found = utilities(seen, bandwidth_mbps, columns["rtt_ms"], columns["payload_size"].astype(np.float64))
    done = [columns["timestamp"] + np.ceil(latency_ms) for latency_ms in (seen.hde_latency_ms, seen.amst_latency_ms)]
    return np.stack([*found, *done, bandwidth_mbps], axis=1)


def _requests(columns: Mapping[str, NDArray[Any]]) -> Sequence[str]:
    """What identifies each request: its id, or that of the event where it has none."""
    pairs = zip(columns["request_id"].tolist(), columns["event_id"].tolist(), strict=True)
    return [request or event for request, event in pairs]


@njit(cache=True)
def _step(
    links: NDArray[Any],
    inputs: NDArray[Any],
    tiles: NDArray[Any],
    head: NDArray[Any],
    learned: NDArray[Any],
    work: Any,
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    event: NDArray[Any],
    x: NDArray[Any],
    payload: NDArray[Any],
    measured: NDArray[Any],
    asked: NDArray[Any],
    draw: NDArray[Any],
    label: NDArray[Any],
    source: NDArray[Any],
    margin: NDArray[Any],
    utility_hde: NDArray[Any],
    utility_amst: NDArray[Any],
    rule: NDArray[Any],
    explores: bool,
    has_champion: NDArray[Any],
    lateness_ms: int,
    ready_after: int,
    kind: NDArray[Any],
    clock: NDArray[Any],
    decision: NDArray[Any],
) -> None:
    scaled, cell, base = work
    utility, actual, importance, corrected = np.empty(2), np.empty(2), np.empty(2), np.empty(2)
    for i in range(len(slot)):
        link = links[slot[i]]
        clock[i] = link.clock
        kind[i] = arrival(link.count > 0, link.clock, timestamp[i], lateness_ms)
        if kind[i] == LATE:
            continue
        if kind[i] == DUPLICATE and not _is_known(link, event[i]):  # another transfer in the same millisecond
            kind[i] = FRESH
        if kind[i] == FRESH:
            settle(link, timestamp[i])
        bandwidth_mbps = measured[i, 4]
        stake = estimate(
            inputs, tiles, head, link, x[i], payload[i], x[i, _ENTROPY], x[i, _REPETITION],
            scaled, cell, base, utility,
        )  # fmt: skip
        made = decision[i]
        probability = calibrated(head, stake)
        made.voted = 1 if stake > 0.0 else 0
        _decide(made, probability, asked[i], has_champion[i], learned[0] >= ready_after, rule[i])
        made.greedy = made.algorithm
        made.propensity = math.nan
        if explores:
            _explore(made, abs(math.tanh(stake / 2.0)), draw[i])
        for side in range(2):
            known = learned[0] > 0
            made.utility[side] = bandwidth_mbps * math.exp(utility[side]) if known else math.nan
        if kind[i] != FRESH:
            continue
        if timestamp[i] > link.clock:
            link.events = 0
        link.event[link.events % _SAME_MS] = event[i]
        link.events += 1
        link.clock = timestamp[i]
        link.count += 1
        made.scored = label[i] != NONE and source[i] == OUTCOME
        made.wrong = made.scored and made.voted != label[i]
        weight = 1.0
        for side in range(2):
            actual[side] = log_utility(measured[i, side], bandwidth_mbps)
            if explores and side != made.algorithm:
                actual[side] = math.nan
        if math.isnan(actual[0]) and math.isnan(actual[1]):
            if label[i] == NONE or source[i] != HISTORY:
                continue
            weight = HISTORY_WEIGHT
            actual[0] = log_utility(utility_hde[i], bandwidth_mbps)
            actual[1] = log_utility(utility_amst[i], bandwidth_mbps)
        learned[0] += 1
        for side in range(2):
            importance[side] = weight
        step = 0.0
        if not math.isnan(actual[0] + actual[1]):
            step = learn_stake(tiles, head, payload[i], cell, utility, stake, label[i], margin[i], weight)
        elif explores:
            difference = correct(utility, actual, made.propensity, corrected)
            side = 1 if difference > 0.0 else 0
            lost = 1.0 - math.exp(-abs(difference))
            step = learn_stake(tiles, head, payload[i], cell, utility, stake, side, lost, 1.0)
            importance[made.algorithm] = min(1.0 / made.propensity, WEIGHT_LIMIT)
        learn(inputs, tiles, x[i], payload[i], actual, importance, scaled, cell, base)
        if weight == 1.0:
            done = timestamp[i]
            for side in range(2):
                if not math.isnan(actual[side]):
                    done = max(done, int(measured[i, 2 + side]))
            postpone(link, done, payload[i], actual, base, step)


@njit(cache=True)
def _decide(made: Any, probability: float, asked: float, has_champion: bool, ready: bool, rule: int) -> None:
    """The champion where it is sure, else the online model where it is, else the heuristic."""
    made.reason = 0
    if has_champion:
        if math.isnan(asked):
            made.reason = FAILED
        elif max(asked, 1.0 - asked) > CONFIDENT:
            made.decider = CHAMPION
            made.probability = asked
            made.confidence = max(asked, 1.0 - asked)
            made.algorithm = 1 if asked > 0.5 else 0
            return
        else:
            made.reason = UNSURE
    made.probability = probability
    made.confidence = max(probability, 1.0 - probability)
    made.algorithm = 1 if probability > 0.5 else 0
    made.decider = ONLINE
    if ready and made.confidence > CONFIDENT:
        return
    if made.reason == 0:
        made.reason = UNSURE if ready else NOT_READY
    made.decider = RULES
    made.algorithm = rule
    made.confidence = CONFIDENCE


@njit(cache=True)
def _explore(made: Any, gap: float, draw: float) -> None:
    """Take the other side now and then, and say how probable that was."""
    other = explore_probability(gap)
    made.propensity = 1.0 - other
    if draw < other:
        made.algorithm = 1 - made.algorithm
        made.propensity = other


@njit(cache=True)
def _is_known(link: Any, event: int) -> bool:
    known = False
    for k in range(min(link.events, _SAME_MS)):
        known = known or link.event[k] == event
    return known
