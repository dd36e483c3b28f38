"""The selector's decisions over event time: each period beside the bars of that very period."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np

from streams.demo.score import Label, Prediction, SelectorScore

MODEL: Final = "selector"


class Scored(NamedTuple):
    """One decision that met its label."""

    event_ms: int
    right: bool
    heuristic_right: bool
    amst: bool
    regret: float
    version: str


class Bucket(NamedTuple):
    """A stretch of event time, for a plot: its middle, and accuracies in it (NaN where unknown)."""

    event_ms: float
    accuracy: float
    heuristic: float
    majority: float
    ceiling: float


class SelectorCourse(SelectorScore):
    """Decisions against labels, kept one by one.

    Attributes
    ----------
    decided
        How many decisions each trained version made, by version.
    failed
        Decisions for which a trained model had no answer; another decided.
    impossible
        Decisions published with a probability or confidence that is none.
    newest_ms
        Event time of the newest decision.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[Scored] = []
        self.ceilings: list[tuple[int, int, int]] = []
        self.decided: dict[str, int] = {}
        self.failed = self.impossible = 0
        self.newest_ms = 0

    def prediction(self, value: bytes) -> None:
        """Take in one decision."""
        super().prediction(value)
        made = self.latest[-1]
        self.newest_ms = max(self.newest_ms, made.timestamp)
        self.failed += made.fallback_reason == "model_error"
        self.impossible += not (0.0 <= made.probability_amst <= 1.0 and 0.0 <= made.confidence <= 1.0)
        if made.model_name == MODEL:
            version = made.model_version
            self.decided[version] = self.decided.get(version, 0) + 1

    def ceiling(self, said: dict[str, Any]) -> None:
        """Take in what the best decisions of one minute would have got right, as a fleet says it."""
        self.ceilings.append((said["time_ms"], said["scored"], said["right"]))

    def period(self, from_ms: float, to_ms: float) -> dict[str, Any]:
        """Accuracy and regret of decisions in `[from_ms, to_ms)`, beside the bars of the same time."""
        rows = [row for row in self.rows if from_ms <= row.event_ms < to_ms]
        if not rows:
            return {"scored": 0, "accuracy": None, "majority": None, "heuristic": None, "ceiling": None, "regret": None}
        _, right, heuristic, amst, regret, _ = zip(*rows, strict=True)
        known = [(n, k) for at, n, k in self.ceilings if from_ms - 60_000 < at < to_ms]
        scored = sum(n for n, _ in known)
        share = float(np.mean(amst))
        return {
            "scored": len(rows),
            "accuracy": float(np.mean(right)),
            "majority": max(share, 1.0 - share),
            "heuristic": float(np.mean(heuristic)),
            "ceiling": sum(k for _, k in known) / scored if scored else None,
            "regret": float(np.mean(regret)),
        }

    def scored_since(self, event_ms: float) -> int:
        """Decisions of that time and later that met their label."""
        return sum(row.event_ms >= event_ms for row in self.rows)

    def buckets(self, length_ms: int) -> list[Bucket]:
        """The course in stretches of equal length."""
        if not self.rows:
            return []
        edges = np.arange(self.rows[0].event_ms, self.newest_ms + length_ms, length_ms)
        found = []
        for low, high in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            one = self.period(low, high)
            figures = [_number(one[name]) for name in ("accuracy", "heuristic", "majority", "ceiling")]
            if one["scored"]:
                found.append(Bucket((low + high) / 2, *figures))
        return found

    def _score(self, prediction: Prediction, label: Label) -> None:
        super()._score(prediction, label)
        self.rows.append(
            Scored(
                prediction.timestamp, prediction.algorithm == label.label,
                prediction.heuristic_algorithm == label.label, label.label == "AMST",
                label.regret(prediction.algorithm), prediction.model_version,
            )
        )  # fmt: skip


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
