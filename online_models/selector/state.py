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

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, get_args
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from online_models.arrival import DUPLICATE, LATE, LATENESS_MS, REORDERED, reject_late
from online_models.drift.monitor import DriftMonitor, Shift, alerts
from online_models.drift.trust import Trust, doubted
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import compression_batch
from online_models.selector.decision import CONFIDENT
from online_models.selector.exploration import draws
from online_models.selector.feature import numbers, payload_kinds
from online_models.selector.oracle import NONE, realised
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
from online_models.selector.step import ROW, SHADOW_RATE, SHADOWED, Policy, Tally, Transfers, one_sided, step
from online_models.selector.trained import NAME as TRAINED_NAME
from online_models.selector.trained import NOBODY, Asked, TrainedSelector
from online_models.selector.utility import AMST, new_model
from online_models.served import Model
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

_ONLINE: Final = ((MODEL_NAME, MODEL_VERSION), (RULES_NAME, RULES_VERSION))

Feedback = Literal["measured", "chosen"]


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
        self._policy = Policy(lateness_ms, ready_after, confident, feedback == "chosen")
        self._trained = TrainedSelector(champion)
        self.model = new_model()
        self._tally = Tally(
            learned=np.zeros(1, np.int64),
            shadowed=np.ones(1),
            explored=np.zeros(1, np.int64),
            seen=np.zeros(4, np.int64),
            fallback=np.zeros(4, np.int64),
            decided=np.zeros(4, np.int64),
            best=np.zeros(2, np.int64),
            right=np.zeros(3, np.int64),
            regret=np.zeros(2),
        )
        self._drift = DriftMonitor(MODEL_NAME, "error", MODEL_VERSION)
        self._champion_drift = DriftMonitor(TRAINED_NAME, "error", "")
        self._trust, self._champion_trust = Trust(TRUST_TURN_MS), Trust(TRUST_TURN_MS)
        tally = self._tally._asdict()
        shared = {
            **self.model._asdict(),
            **self._trained.shared,
            "class": tally.pop("best"),
            **tally,
            "drift": self._drift.memory,
            "champion_drift": self._champion_drift.memory,
            "trust": self._trust.memory,
            "champion_trust": self._champion_trust.memory,
        }
        super().__init__(ROW, shared, idle_ms, served=[self._trained.served])

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
        clock_ms = int(self._clock[0])
        asked = self._trained.ask(columns)
        measured = realised(columns)
        transfers = Transfers(
            slot=self._table.index(batch.key),
            timestamp=columns["timestamp"],
            event=np.array([crc32(event_id.encode()) for event_id in columns["event_id"].tolist()], np.uint32),
            number=numbers(columns),
            realised=measured,
            payload=payload_kinds(columns),
            asked=_believed(asked, self._champion_trust.factor(clock_ms)),
            expected=asked.expected,
            treated=asked.treated,
            draw=draws(_requests(columns)) if self._may_explore(measured) else np.full(len(batch), np.nan),
        )
        made = np.zeros(len(batch), DECISION)
        step(self._table.rows, self.model, self._tally, transfers, self._policy, self._trust.factor(clock_ms), made)
        answered = np.flatnonzero(made["arrival"] != LATE)
        labelled = answered[made["label"][answered] != NONE]
        outputs: dict[Topic, Output] = {}
        if len(labelled):
            outputs[COMPRESSION_LABEL] = label_records(columns, labelled, made)
        if len(answered):
            outputs[COMPRESSION_PREDICTION] = prediction_records(columns, answered, made, _ONLINE, asked)
        if found := alerts(batch, self._drifted(made, asked)):
            outputs[DRIFT_ALERT] = found
        if len(answered) == len(batch):
            return Result(outputs)
        late = reject_late(made["arrival"], transfers.timestamp, made["clock"], self._policy.lateness_ms)
        return Result(outputs, late)

    def _drifted(self, made: NDArray[Any], asked: Asked) -> list[Shift]:
        """Watch the errors of the online model and of the champion; confidence in a model whose errors rise is less."""
        scored = np.flatnonzero(made["scored"])
        if not len(scored):
            return []
        wrong = made["wrong"][scored].astype(np.float64)
        shifts = self._drift.update(scored.tolist(), wrong.tolist())
        self._trust.take(scored, wrong, shifts)
        if asked.champion == NOBODY:
            return shifts
        said, label = asked.probability, made["label"]
        led = scored[made["decider"][scored] == CHAMPION]
        misled = (made["algorithm"] != label)[led]
        self._champion_drift.version = asked.champion[1]
        found = self._champion_drift.update(led.tolist(), misled.astype(np.float64).tolist())
        told = scored[~(asked.treated | np.isnan(said))[scored]]
        missed = (said[told] > 0.5) != (label[told] == AMST)
        self._champion_trust.take(told, missed.astype(np.float64), found)
        return shifts + found

    def _may_explore(self, measured: NDArray[np.float64]) -> bool:
        """Whether any row of a batch can be explored; draws cost more than most of a step."""
        least = self._tally.shadowed[0] * (1.0 - SHADOW_RATE) ** one_sided(measured)
        return self._policy.only_chosen or bool(least < SHADOWED)

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Prequential accuracy of what was published, beside its bars, and regret (share of utility lost)."""
        tally = self._tally
        scored = float(tally.best.sum())
        return {
            "selector_links": (float(len(self)), None),
            "selector_transfers": (float(tally.seen.sum()), None),
            "selector_duplicates": (float(tally.seen[DUPLICATE]), None),
            "selector_reordered": (float(tally.seen[REORDERED]), None),
            "selector_late": (float(tally.seen[LATE]), None),
            "selector_learned": (float(tally.learned[0]), None),
            "selector_scored": (scored, None),
            "selector_accuracy": (float(tally.right[0]), scored),
            "selector_model_accuracy": (float(tally.right[1]), scored),
            "selector_heuristic_accuracy": (float(tally.right[2]), scored),
            "selector_majority_accuracy": (float(tally.best.max()), scored),
            "selector_regret": (float(tally.regret[0]), scored),
            "selector_heuristic_regret": (float(tally.regret[1]), scored),
            "selector_fallback_not_ready": (float(tally.fallback[NOT_READY]), None),
            "selector_fallback_low_confidence": (float(tally.fallback[UNSURE]), None),
            "selector_fallback_model_error": (float(tally.fallback[FAILED]), None),
            "selector_trust": (float(self._trust.memory["factor"][0]), 1.0),
            "selector_champion_trust": (float(self._champion_trust.memory["factor"][0]), 1.0),
            "selector_decided_online": (float(tally.decided[ONLINE]), None),
            "selector_decided_champion": (float(tally.decided[CHAMPION]), None),
            "selector_decided_challenger": (float(tally.decided[CHALLENGER]), None),
            "selector_explored": (float(tally.explored[0]), None),
        }

    @classmethod
    def warm(cls) -> None:
        """Compile every kernel by running a few transfers of one link."""
        for feedback in get_args(Feedback):
            state = cls(feedback=feedback)
            state.step(compression_batch(timestamps_ms=[0, 1000, 2000]))
            state.gauges()


def _believed(asked: Asked, trust: float) -> NDArray[np.float64]:
    """What trained models say, a champion only as far as it is trusted."""
    said = asked.probability
    return said if trust == 1.0 else np.where(asked.treated, said, doubted(said, trust))


def _requests(columns: Mapping[str, NDArray[Any]]) -> Sequence[str]:
    """What identifies each request: its id, or that of the event where it has none."""
    pairs = zip(columns["request_id"].tolist(), columns["event_id"].tolist(), strict=True)
    return [request or event for request, event in pairs]
