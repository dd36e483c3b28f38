"""Network samples in; features, forecasts with AMST parameters, and scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from online_models.arrival import DUPLICATE, LATE, LATENESS_MS, REORDERED, reject_late
from online_models.bandwidth.confidence import total_confidence
from online_models.bandwidth.feature import WINDOW
from online_models.bandwidth.link import LINK
from online_models.bandwidth.model import ForecastModel, Question, asks_recent
from online_models.bandwidth.passes import FORMULA, Samples, answer_batch, take_batch
from online_models.bandwidth.quality import add_scores, overall_gauges, quality_gauges, start_totals
from online_models.bandwidth.record import (
    MODEL_NUMBER,
    MODEL_VERSION,
    feature_records,
    forecast_records,
    score_records,
)
from online_models.bandwidth.vote import MODEL, start_models
from online_models.bandwidth.waiting import PENDING, PREDICTED
from online_models.drift.monitor import DriftMonitor, Shift, alerts
from online_models.drift.trust import Trust
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import network_batch
from schemas.batch import Batch, Control, Output, Result, pick
from schemas.field import LINK_TYPES
from schemas.network import HORIZON_MS, TARGETS
from schemas.topic import DRIFT_ALERT, NETWORK_FEATURES, NETWORK_FORECAST, NETWORK_SCORE, Topic

DRIFT_BLOCK: Final = 16
"""Forecast errors per block of the drift monitors: the experts follow a shifted level within half an hour."""

TRUST_TURN_MS: Final = 300_000
"""Of event time, until a drift alert lowers the confidence of its type's links."""

_GAUGED: Final = 2048
"""Of more links than this the gauges' means are of so many, evenly spaced: each scrape waits for all it looks at."""


class NetworkState(PartitionState):
    """One partition's links.

    Announced models named `bandwidth` are asked beside the experts, each once per batch.

    Parameters
    ----------
    lateness_ms
        How far behind its link's clock a sample may be and still be answered.
    idle_ms
        How long a silent link is remembered.
    amst_factors
        What AMST's streams are multiplied by on links of each type, in the order of `LINK_TYPES`; by default the
        contract's formula stands.
    """

    turn_ms = TRUST_TURN_MS

    def __init__(
        self, lateness_ms: int = LATENESS_MS, idle_ms: int = IDLE_MS, amst_factors: Sequence[float] = FORMULA.tolist()
    ) -> None:
        self._lateness_ms = lateness_ms
        self._tuned = np.array(amst_factors, np.float64)
        self._models = np.zeros(len(LINK_TYPES), MODEL)
        start_models(self._models)
        self._drift = [
            DriftMonitor("forecaster", f"relative_error.{kind}", MODEL_VERSION, DRIFT_BLOCK) for kind in LINK_TYPES
        ]
        self._trust = [Trust(TRUST_TURN_MS) for _ in LINK_TYPES]
        self._seen = np.zeros(4, np.int64)
        self._total = start_totals()
        shared = {"models": self._models, "seen": self._seen, "total": self._total}
        self._trained = ForecastModel(self._models)
        shared |= self._trained.arrays
        shared |= {f"drift_{kind}": monitor.memory for kind, monitor in zip(LINK_TYPES, self._drift, strict=True)}
        shared |= {f"trust_{kind}": trust.memory for kind, trust in zip(LINK_TYPES, self._trust, strict=True)}
        super().__init__(LINK, shared, idle_ms, [self._trained.served])

    def restored(self) -> None:
        """Rebuild the drift detectors."""
        for monitor in self._drift:
            monitor.rebuild()

    def control(self, control: Control) -> Result:
        """Take announcements and stages of experiments in; what is known of a model goes when another has its role."""
        self._trained.control(control)
        with self._trained.changing():
            return super().control(control)

    def apply(self, batch: Batch) -> Result:
        """Features and forecasts of every sample that is not late, and the scores they bring."""
        columns = batch.columns
        self._turn()
        slot = self._table.index(batch.key)
        samples = Samples.of(batch)
        rows, serving = self._table.rows, self._trained.serving()
        taken = take_batch(rows, slot, batch, samples, self._lateness_ms, recent=asks_recent(serving))
        kind, clock, period, feature, recent, made = taken
        if serving:
            self._trained.ask(serving, made, Question(feature, recent, period), batch.key, kind != LATE)
        certain, amst, score = answer_batch(rows, self._models, slot, samples, taken, tuned=self._tuned)
        self._seen += np.bincount(kind, minlength=4)
        if serving:
            self._trained.tell(made)
        add_scores(self._total, score, samples.target, samples.kind_of_link)
        row, scored = (kind != LATE).nonzero()[0], score["scored"].nonzero()[0]
        outputs: dict[Topic, Output] = {}
        if len(row):
            outputs[NETWORK_FEATURES] = feature_records(columns, row, pick(feature, row))
            said = pick(made, row)
            version = self._trained.names(said["trained_by"], MODEL_VERSION)
            outputs[NETWORK_FORECAST] = forecast_records(
                columns, row, pick(clock, row), said, pick(certain, row), pick(amst, row), version
            )
        if len(scored):
            met = score[scored]
            version = self._trained.names(met["trained_by"], MODEL_VERSION)
            outputs[NETWORK_SCORE] = score_records(columns, scored, met, samples.target[scored], version)
            if drifted := alerts(batch, self._watch(scored, samples.kind_of_link[scored], met["relative_error"])):
                outputs[DRIFT_ALERT] = drifted
        late = reject_late(kind, samples.timestamp, clock, self._lateness_ms) if len(row) < len(kind) else ()
        return Result(outputs, late)

    def _turn(self) -> None:
        """Trust in the forecasts of links of each type, which a turn of the partition's clock changes."""
        clock = int(self._clock[0])
        if clock // TRUST_TURN_MS != self._trust[0].memory["turn"][0]:
            self._models["trust"] = [trust.factor(clock) for trust in self._trust]

    def _watch(self, row: NDArray[np.intp], kind: NDArray[np.int64], relative: NDArray[np.float64]) -> list[Shift]:
        """Drift in the relative errors of forecasts that were met at some rows, by type of link."""
        shifts = []
        error = np.minimum(relative, 1.0)
        for code in sorted(set(kind.tolist())):
            mine = (kind == code).nonzero()[0]
            at, own = row[mine], error[mine]
            found = self._drift[code].update(at.tolist(), own.tolist())
            self._trust[code].take(at, own, found)
            shifts += found
        return shifts

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Errors beside their bars, coverage, and the means over links that dashboards show."""
        n = float(len(self))
        links = self._table.rows
        if len(self) > _GAUGED:
            links = links.take(np.arange(0, len(self), -(-len(self) // _GAUGED)))
        each = np.arange(len(links))
        scale = n / max(len(links), 1)
        newest = links["window"][each, (links["count"] - 1) % WINDOW]
        newest_made = (links["made"] - 1) % PENDING
        short = links["said"][each, newest_made, PREDICTED].astype(np.uint32) << 16
        predicted = links["last"][each, newest_made] + short.view(np.float32)
        found: dict[str, tuple[float, float | None]] = {
            "network_links": (n, None),
            "model_version": (float(MODEL_NUMBER), 1.0),
            "network_samples": (float(self._seen.sum()), None),
            "network_duplicates": (float(self._seen[DUPLICATE]), None),
            "network_reordered": (float(self._seen[REORDERED]), None),
            "network_late": (float(self._seen[LATE]), None),
            "forecast_confidence": (scale * total_confidence(links), n),
            **overall_gauges(self._total),
            **quality_gauges(self._total, self._models, HORIZON_MS),
            **self._trained.gauges(),
            **{
                f"forecast_trust_{kind}": (float(model["trust"]), 1.0)
                for kind, model in zip(LINK_TYPES, self._models, strict=True)
            },
        }
        for m, target in enumerate(TARGETS):
            found[f"current_{target}"] = (scale * float(newest[:, m].sum()), n)
            found[f"predicted_{target}"] = (scale * float(predicted[:, m].sum()), n)
        return found

    @classmethod
    def warm(cls) -> None:
        """Compile every kernel by running a few samples of one link."""
        state = cls()
        state.step(network_batch(timestamps_ms=[0, 60_000, HORIZON_MS]))
        state.gauges()
