"""What the published records are worth: each figure beside the baseline it has to beat."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any, Final

import numpy as np
from msgspec import Struct
from msgspec.json import Decoder

from schemas.field import ALGORITHMS
from schemas.network import TARGETS


class Label(Struct):
    """The part of an oracle label that decisions are scored by."""

    event_id: str
    label: str
    utility_hde: float
    utility_amst: float

    def regret(self, algorithm: str) -> float:
        """Share of the best side's utility that a decision gave away."""
        utility = dict(zip(ALGORITHMS, (self.utility_hde, self.utility_amst), strict=True))
        best = max(utility.values())
        return (best - utility[algorithm]) / best if best > 0 else 0.0


class Prediction(Struct):
    """The part of a decision that is scored and shown."""

    event_id: str
    node_id: str
    peer_id: str
    algorithm: str
    heuristic_algorithm: str
    confidence: float
    fallback: bool
    model_name: str
    model_version: str = ""
    timestamp: int = 0
    fallback_reason: str = ""
    probability_amst: float = 0.5


class _ForecastScore(Struct):
    error: list[float]
    persistence_error: list[float]
    moving_average_error: list[float]
    covered: list[bool]


class Fault(Struct):
    """A line of the simulator's truth file, as far as anomalies go."""

    kind: str
    type: str
    entity: str
    start_ms: int
    end_ms: int


class Announced(Struct):
    """The part of an anomaly that the demo shows and scores."""

    timestamp: int
    node_id: str
    anomaly_type: str
    severity: str
    anomaly_score: float
    status: str = "open"
    peer_id: str = ""


FAULT_GRACE_MS: Final = 60_000
"""How long after a fault's end an announcement may still be about it."""


def score_faults(truth: Iterable[Fault], announced: Iterable[Announced]) -> dict[str, int]:
    """Injected node faults that were announced, and with the right type; alerts opened outside any fault.

    Faults of links are not counted: system metrics do not show them.
    """
    by_node: dict[str, list[Announced]] = {}
    for anomaly in (a for a in announced if a.status != "resolved" and not a.peer_id):
        by_node.setdefault(anomaly.node_id, []).append(anomaly)
    faults = [f for f in truth if f.kind == "anomaly" and ":" not in f.entity]
    found = typed = 0
    explained: set[int] = set()
    for fault in faults:
        within = [
            a for a in by_node.get(fault.entity, ()) if fault.start_ms <= a.timestamp <= fault.end_ms + FAULT_GRACE_MS
        ]
        explained |= {id(a) for a in within}
        found += bool(within)
        typed += any(a.anomaly_type == fault.type for a in within)
    outside = sum(a.status == "open" and id(a) not in explained for anomalies in by_node.values() for a in anomalies)
    return {"injected": len(faults), "found": found, "typed": typed, "outside": outside}


class SelectorScore:
    """Decisions against oracle labels, joined by event.

    Regret is the share of the best side's utility that the decision gave away,
    averaged over decisions: `(max(u) - u[chosen]) / max(u)`.
    """

    def __init__(self) -> None:
        self.scored = 0
        self._labels: dict[str, Label] = {}
        self._predictions: dict[str, Prediction] = {}
        self._of_label: Counter[str] = Counter()
        self._right: Counter[str] = Counter()
        self._regret: Counter[str] = Counter()
        self.latest: deque[Prediction] = deque(maxlen=4)
        self._label = Decoder(Label).decode
        self._prediction = Decoder(Prediction).decode

    def label(self, value: bytes) -> None:
        """Take in one oracle label."""
        label = self._label(value)
        prediction = self._predictions.pop(label.event_id, None)
        if prediction is None:
            self._labels[label.event_id] = label
        else:
            self._score(prediction, label)

    def prediction(self, value: bytes) -> None:
        """Take in one decision."""
        prediction = self._prediction(value)
        self.latest.append(prediction)
        label = self._labels.pop(prediction.event_id, None)
        if label is None:
            self._predictions[prediction.event_id] = prediction
        else:
            self._score(prediction, label)

    def _score(self, prediction: Prediction, label: Label) -> None:
        self.scored += 1
        self._of_label[label.label] += 1
        for who, said in (("model", prediction.algorithm), ("heuristic", prediction.heuristic_algorithm)):
            self._right[who] += said == label.label
            self._regret[who] += label.regret(said)  # type: ignore[assignment]

    def summary(self) -> dict[str, Any]:
        """Accuracy and regret beside majority class and heuristic; None before anything was scored."""
        n = self.scored
        if n == 0:
            return {"scored": 0, "accuracy": None, "majority": None, "heuristic": None, "regret": None}
        return {
            "scored": n,
            "accuracy": self._right["model"] / n,
            "majority": max(self._of_label.values()) / n,
            "heuristic": self._right["heuristic"] / n,
            "regret": self._regret["model"] / n,
            "heuristic_regret": self._regret["heuristic"] / n,
        }


class BandwidthScore:
    """Forecasts that met their sample 15 minutes later, beside persistence and moving average."""

    def __init__(self) -> None:
        self.scored = 0
        self._sum = np.zeros((3, len(TARGETS)))
        self._covered = np.zeros(len(TARGETS))
        self._decode = Decoder(_ForecastScore).decode

    def score(self, value: bytes) -> None:
        """Take in one scored forecast."""
        score = self._decode(value)
        self.scored += 1
        self._sum += (score.error, score.persistence_error, score.moving_average_error)
        self._covered += score.covered

    def summary(self) -> dict[str, Any]:
        """Mean absolute errors in Mbps for bandwidth, and per target in its own unit."""
        n = self.scored
        if n == 0:
            return {"scored": 0, "mae": None, "mae_persistence": None, "mae_moving_average": None}
        mae, persistence, average = self._sum / n
        return {
            "scored": n,
            "mae": mae[0],
            "mae_persistence": persistence[0],
            "mae_moving_average": average[0],
            "targets": {
                name: {
                    "mae": mae[i],
                    "mae_persistence": persistence[i],
                    "mae_moving_average": average[i],
                    "coverage_90": self._covered[i] / n,
                }
                for i, name in enumerate(TARGETS)
            },
        }
