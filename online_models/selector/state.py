"""Compression telemetry in; oracle labels and selector predictions out.

One model per partition learns prequentially: it predicts a transfer, is scored on it,
then learns what came of it. Only labels from realised outcomes score, because a label made
from the features themselves proves nothing; those from history teach with a tenth of
the weight, so that a fleet without shadow measurement still gets a model.

A trained *champion* decides before the online model, and that one before the heuristic; a champion that
fails, or is not sure, is never waited for. Where hardly any transfer has both sides measured, which is what
production gives, the state is a contextual bandit: it learns the side that was seen, and explores.
With `feedback="chosen"` it is one always, and sees no side but the one that it chose.

A model whose errors drifted is less sure of itself from the next minute on (`drift.trust`): a champion decides less
for that, the online model, to which there is no better alternative, only says so.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args
from zlib import crc32

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.arrival import DUPLICATE, FRESH, LATE, LATENESS_MS, REORDERED, arrival, reject_late
from online_models.drift.monitor import DriftMonitor, Shift, alerts
from online_models.drift.trust import Trust, doubted
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import compression_batch
from online_models.selector.decision import CONFIDENT, decide, explore, vote
from online_models.selector.exploration import draws
from online_models.selector.feature import payload_kinds, utility_inputs
from online_models.selector.heuristic import heuristic
from online_models.selector.oracle import HISTORY, NONE, OUTCOME, Label, label_of, outcomes, utilities
from online_models.selector.record import (
    CHALLENGER,
    CHAMPION,
    DECISION,
    FAILED,
    NOT_READY,
    ONLINE,
    UNSURE,
    label_records,
    prediction_records,
)
from online_models.selector.trained import NAME as TRAINED_NAME
from online_models.selector.trained import Asked, TrainedSelector
from online_models.selector.utility import (
    AMST,
    HDE,
    LINK,
    Shared,
    Work,
    calibrate,
    calibrated,
    estimate,
    learn,
    log_utility,
    new_model,
    new_work,
    postpone,
    settle,
)
from online_models.served import Model
from online_models.slot import row_dtype
from schemas.batch import Batch, Control, Output, Result
from schemas.topic import COMPRESSION_LABEL, COMPRESSION_PREDICTION, DRIFT_ALERT, Topic

MODEL_NAME: Final = "utility"
MODEL_VERSION: Final = "prototypes-1"
RULES_NAME: Final = "heuristic"
RULES_VERSION: Final = "rules-1"
READY_AFTER: Final = 300
"""Labels learned before the model's answers are published."""

TRUST_TURN_MS: Final = 60_000
"""Of event time, until a drift alert lowers confidence."""

HISTORY_WEIGHT: Final = 0.1

_ONLINE: Final = ((MODEL_NAME, MODEL_VERSION), (RULES_NAME, RULES_VERSION))

SHADOWED: Final = 0.5
"""Share of transfers with both sides measured, of those with any, below which the other side is tried now and then."""

SHADOW_RATE: Final = 0.002

Feedback = Literal["measured", "chosen"]

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
    confident
        Confidence above which the model answers instead of the heuristic.
    idle_ms
        How long a silent link is remembered.
    champion
        A trained model that decides where it is sure, instead of the one that is announced.
    feedback
        What teaches: the sides of a transfer that were `measured`, or only the `chosen` one.
    """

    revision = 3
    turn_ms = TRUST_TURN_MS

    def __init__(
        self,
        lateness_ms: int = LATENESS_MS,
        ready_after: int = READY_AFTER,
        confident: float = CONFIDENT,
        idle_ms: int = IDLE_MS,
        champion: Model | None = None,
        feedback: Feedback = "measured",
    ) -> None:
        self._lateness_ms = lateness_ms
        self._ready_after = ready_after
        self._confident = confident
        self._feedback = feedback
        self._trained = TrainedSelector(champion)
        self.model = new_model()
        self._work = new_work()
        self._learned = np.zeros(1, np.int64)
        self._shadowed = np.ones(1)
        self._drift = DriftMonitor(MODEL_NAME, "error", MODEL_VERSION)
        self._champion_drift = DriftMonitor(TRAINED_NAME, "error", "")
        self._trust, self._champion_trust = Trust(TRUST_TURN_MS), Trust(TRUST_TURN_MS)
        self._seen = np.zeros(4, np.int64)
        self._class = np.zeros(2, np.int64)
        self._right = np.zeros(3, np.int64)
        self._regret = np.zeros(2)
        self._fallback = np.zeros(4, np.int64)
        self._decided = np.zeros(4, np.int64)
        self._explored = np.zeros(1, np.int64)
        shared = {
            **self.model._asdict(),
            **self._trained.shared,
            "learned": self._learned,
            "shadowed": self._shadowed,
            "drift": self._drift.memory,
            "champion_drift": self._champion_drift.memory,
            "trust": self._trust.memory,
            "champion_trust": self._champion_trust.memory,
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
        """Take announced models and experiments in; errors of another champion are counted anew."""
        before = self._trained.served.version("champion")
        self._trained.control(control)
        result = super().control(control)
        if self._trained.served.version("champion") != before:
            self._champion_drift.memory[:] = np.zeros_like(self._champion_drift.memory)
            self._champion_drift.rebuild()
            self._champion_trust.renew()
        return result

    def restored(self) -> None:
        """Rebuild the drift detectors."""
        self._drift.rebuild()
        self._champion_drift.rebuild()

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
        asked = self._trained.ask(columns)
        said = asked.probability
        believed = self._champion_trust.factor(int(self._clock[0]))
        asked = asked._replace(probability=np.where(asked.treated, said, doubted(said, believed)))
        measured = _measured(columns)
        _step(
            self._table.rows,
            self.model,
            self._learned,
            self._shadowed,
            self._work,
            slot,
            timestamp,
            np.array([crc32(event_id.encode()) for event_id in columns["event_id"].tolist()], np.uint32),
            *utility_inputs(columns),
            payload_kinds(columns),
            _looks(columns),
            measured,
            asked.probability,
            draws(_requests(columns)) if self._may_explore(measured) else np.full(n, np.nan),
            label.label,
            label.source,
            label.utility_hde,
            label.utility_amst,
            rule,
            self._feedback == "chosen",
            asked.expected,
            self._lateness_ms,
            self._ready_after,
            self._confident,
            kind,
            clock,
            decision,
        )
        decision["decider"][asked.treated & (decision["decider"] == CHAMPION)] = CHALLENGER
        own = decision["decider"] == ONLINE
        decision["confidence"][own] = doubted(decision["confidence"][own], self._trust.factor(int(self._clock[0])))
        self._count(kind, decision, label, rule)
        answered = np.flatnonzero(kind != LATE)
        labelled = np.flatnonzero((kind != LATE) & (label.label != NONE))
        outputs: dict[Topic, Output] = {}
        if len(labelled):
            outputs[COMPRESSION_LABEL] = label_records(columns, labelled, label)
        if len(answered):
            made = prediction_records(columns, answered, decision[answered], rule[answered], _ONLINE, asked)
            outputs[COMPRESSION_PREDICTION] = made
        if found := alerts(batch, self._drifted(decision, label.label, said, asked)):
            outputs[DRIFT_ALERT] = found
        return Result(outputs, reject_late(kind, timestamp, clock, self._lateness_ms))

    def _drifted(
        self, decision: NDArray[Any], label: NDArray[np.int64], said: NDArray[np.float64], asked: Asked
    ) -> list[Shift]:
        """Watch the errors of the online model and of the champion; confidence in a model whose errors rise is less."""
        scored = np.flatnonzero(decision["scored"])
        wrong = decision["wrong"][scored]
        shifts = self._drift.update(scored.tolist(), wrong.astype(np.float64).tolist())
        self._trust.take(scored, wrong.astype(np.float64), shifts)
        told = scored[~(asked.treated | np.isnan(said))[scored]]
        led = np.flatnonzero(decision["scored"] & (decision["decider"] == CHAMPION))
        misled = (decision["algorithm"] != label)[led]
        self._champion_drift.version = asked.champion[1]
        found = self._champion_drift.update(led.tolist(), misled.astype(np.float64).tolist())
        missed = (said[told] > 0.5) != (label[told] == AMST)
        self._champion_trust.take(told, missed.astype(np.float64), found)
        return shifts + found

    def _may_explore(self, measured: NDArray[np.float64]) -> bool:
        """Whether any row of a batch can be explored; draws cost more than most of a step."""
        halves = np.count_nonzero(np.isnan(measured[:, 0]) != np.isnan(measured[:, 1]))
        return self._feedback == "chosen" or bool(self._shadowed[0] * (1.0 - SHADOW_RATE) ** halves < SHADOWED)

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
            "selector_trust": (float(self._trust.memory["factor"][0]), 1.0),
            "selector_champion_trust": (float(self._champion_trust.memory["factor"][0]), 1.0),
            "selector_decided_online": (float(self._decided[ONLINE]), None),
            "selector_decided_champion": (float(self._decided[CHAMPION]), None),
            "selector_decided_challenger": (float(self._decided[CHALLENGER]), None),
            "selector_explored": (float(self._explored[0]), None),
        }

    @classmethod
    def warm(cls) -> None:
        """Compile every kernel by running a few transfers of one link."""
        for feedback in get_args(Feedback):
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


def _looks(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Entropy and repetition, NaN where not estimated: `[n, 2]`."""
    return np.stack([np.asarray(columns[n], np.float64) for n in ("entropy_estimate", "repetition_score")], axis=1)


def _requests(columns: Mapping[str, NDArray[Any]]) -> Sequence[str]:
    """What identifies each request: its id, or that of the event where it has none."""
    pairs = zip(columns["request_id"].tolist(), columns["event_id"].tolist(), strict=True)
    return [request or event for request, event in pairs]


@njit(cache=True)
def _step(
    links: NDArray[Any],
    model: Shared,
    learned: NDArray[Any],
    shadowed: NDArray[Any],
    work: Work,
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    event: NDArray[Any],
    hde: NDArray[Any],
    amst: NDArray[Any],
    payload: NDArray[Any],
    looks: NDArray[Any],
    measured: NDArray[Any],
    asked: NDArray[Any],
    draw: NDArray[Any],
    label: NDArray[Any],
    source: NDArray[Any],
    utility_hde: NDArray[Any],
    utility_amst: NDArray[Any],
    rule: NDArray[Any],
    only_chosen: bool,
    has_champion: NDArray[Any],
    lateness_ms: int,
    ready_after: int,
    confident: float,
    kind: NDArray[Any],
    clock: NDArray[Any],
    decision: NDArray[Any],
) -> None:
    actual = np.empty(2)
    for i in range(len(slot)):
        link = links[slot[i]]
        clock[i] = link.clock
        kind[i] = arrival(link.count > 0, link.clock, timestamp[i], lateness_ms)
        if kind[i] == LATE:
            continue
        if kind[i] == DUPLICATE and not _is_known(link, event[i]):  # another transfer in the same millisecond
            kind[i] = FRESH
        if kind[i] == FRESH:
            settle(link, timestamp[i], work.near)
        bandwidth_mbps, entropy, repetition = measured[i, 4], looks[i, 0], looks[i, 1]
        logit = estimate(model, link, work, hde[i], amst[i], payload[i], entropy, repetition)
        made = decision[i]
        vote(made, calibrated(model.head, logit), work.loss)
        decide(made, asked[i], has_champion[i], learned[0] >= ready_after, confident, rule[i])
        made.greedy = made.algorithm
        made.propensity = math.nan
        if only_chosen or shadowed[0] < SHADOWED:
            explore(made, abs(work.loss[HDE] - work.loss[AMST]), draw[i])
        for side in range(2):
            known = learned[0] > 0
            made.utility[side] = bandwidth_mbps * math.exp(work.utility[side]) if known else math.nan
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
            if only_chosen and side != made.algorithm:
                actual[side] = math.nan
        if math.isnan(actual[0]) and math.isnan(actual[1]):
            if label[i] == NONE or source[i] != HISTORY:
                continue
            weight = HISTORY_WEIGHT
            actual[0] = log_utility(utility_hde[i], bandwidth_mbps)
            actual[1] = log_utility(utility_amst[i], bandwidth_mbps)
        else:
            shadowed[0] += SHADOW_RATE * ((0.0 if math.isnan(actual[0] + actual[1]) else 1.0) - shadowed[0])
        learned[0] += 1
        if not math.isnan(actual[0] + actual[1]):
            calibrate(model.head, logit, label[i], weight)
        learn(model, work, hde[i], amst[i], payload[i], entropy, repetition, actual, weight)
        if weight == 1.0:
            done = timestamp[i]
            for side in range(2):
                if not math.isnan(actual[side]):
                    done = max(done, int(measured[i, 2 + side]))
            postpone(link, work, done, payload[i], entropy, repetition, actual)


@njit(cache=True)
def _is_known(link: Any, event: int) -> bool:
    known = False
    for k in range(min(link.events, _SAME_MS)):
        known = known or link.event[k] == event
    return known
