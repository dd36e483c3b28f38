"""Network samples in; features, forecasts with AMST parameters, and scores out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from online_models.amst import ADJUST, START, decide, transport
from online_models.arrival import DUPLICATE, FRESH, LATE, LATENESS_MS, REORDERED, arrival, reject_late
from online_models.drift import DriftMonitor, alerts
from online_models.expert import EXPERTS, PERSISTENCE, TRACK, observe
from online_models.forecaster import (
    BOUNDS,
    FORECAST,
    MODEL,
    VOTE,
    confidence,
    forecast,
    settle,
    start_models,
    total_confidence,
)
from online_models.network_feature import (
    COUNTERS,
    FEATURE_NAMES,
    WINDOW,
    encode_network,
    link_type_codes,
    write_features,
)
from online_models.network_record import (
    MODEL_NUMBER,
    MODEL_VERSION,
    feature_records,
    forecast_records,
    score_records,
)
from online_models.partition import IDLE_MS, PartitionState
from online_models.sample import network_batch
from online_models.slot import row_dtype
from online_models.waiting import PENDING, PREDICTED, due, remember, said_of, side_of
from schemas.batch import Batch, Output, Result
from schemas.field import LINK_TYPES
from schemas.network import HORIZON_MS, TARGETS
from schemas.topic import DRIFT_ALERT, NETWORK_FEATURES, NETWORK_FORECAST, NETWORK_SCORE, Topic

DRIFT_BLOCK: Final = 16
"""Forecast errors per block of the drift monitors: the experts follow a shifted level within half an hour."""

LINK: Final = row_dtype(
    *TRACK, *VOTE, ("clock", "i8"), ("count", "i4"), ("streams", "i2"), ("buffer_bytes", "i4"), ("chunk_bytes", "i4")
)
"""One link's state."""

SCORE: Final = np.dtype(
    [
        ("made_at", "i8"),
        ("error", "f8", (4,)),
        ("persistence_error", "f8", (4,)),
        ("moving_average_error", "f8", (4,)),
        ("covered", "u1", (4,)),
        ("relative_error", "f8"),
        ("scored", "?"),
    ],
    align=True,
)
"""Verdict on the forecast a row's sample met, if `scored`."""

TOTAL: Final = row_dtype(
    ("scored", "i8"),
    ("error", "f8", (4,)),
    ("persistence_error", "f8", (4,)),
    ("moving_average_error", "f8", (4,)),
    ("covered", "f8", (4,)),
    ("relative_error", "f8"),
)
"""Sums over all scored forecasts."""


class NetworkState(PartitionState):
    """One partition's links.

    Parameters
    ----------
    lateness_ms
        How far behind its link's clock a sample may be and still be answered.
    idle_ms
        How long a silent link is remembered.
    """

    def __init__(self, lateness_ms: int = LATENESS_MS, idle_ms: int = IDLE_MS) -> None:
        self._lateness_ms = lateness_ms
        self._models = np.zeros(len(LINK_TYPES), MODEL)
        start_models(self._models)
        self._drift = [
            DriftMonitor("forecaster", f"relative_error.{kind}", MODEL_VERSION, DRIFT_BLOCK) for kind in LINK_TYPES
        ]
        self._seen = np.zeros(4, np.int64)
        self._total = np.zeros(1, TOTAL)
        shared = {"models": self._models, "seen": self._seen, "total": self._total}
        shared |= {f"drift_{kind}": monitor.memory for kind, monitor in zip(LINK_TYPES, self._drift, strict=True)}
        super().__init__(LINK, shared, idle_ms)

    def restored(self) -> None:
        """Rebuild the drift detectors."""
        for monitor in self._drift:
            monitor.rebuild()

    def apply(self, batch: Batch) -> Result:
        """Features and forecasts of every sample that is not late, and the scores they bring."""
        columns = batch.columns
        n = len(batch)
        slot = self._table.index(batch.key)
        timestamp = np.ascontiguousarray(columns["timestamp"], np.int64)
        kind_of_link = link_type_codes(columns)
        kind = np.empty(n, np.int64)
        clock = np.empty(n, np.int64)
        feature = np.empty((n, len(FEATURE_NAMES)))
        made = np.zeros(n, FORECAST)
        certain = np.empty(n)
        amst = np.empty((n, 6), np.int64)
        score = np.zeros(n, SCORE)
        _step(
            self._table.rows,
            self._models,
            slot,
            timestamp,
            np.column_stack([columns[name] for name in TARGETS]),
            np.column_stack([columns[name] for name in COUNTERS]).astype(np.float64),
            encode_network(columns),
            kind_of_link,
            self._lateness_ms,
            BOUNDS,
            kind,
            clock,
            feature,
            made,
            certain,
            amst,
            score,
        )
        self._seen += np.bincount(kind, minlength=4)
        _add(self._total, score)
        row = np.flatnonzero(kind != LATE)
        scored = np.flatnonzero(score["scored"])
        outputs: dict[Topic, Output] = {}
        if len(row):
            outputs[NETWORK_FEATURES] = feature_records(columns, row, feature[row])
            outputs[NETWORK_FORECAST] = forecast_records(columns, row, clock[row], made[row], certain[row], amst[row])
        if len(scored):
            outputs[NETWORK_SCORE] = score_records(columns, scored, score[scored])
            shifts = []
            for code, monitor in enumerate(self._drift):
                mine = scored[kind_of_link[scored] == code]
                shifts += monitor.update(mine.tolist(), np.minimum(score["relative_error"][mine], 1.0).tolist())
            if found := alerts(batch, shifts):
                outputs[DRIFT_ALERT] = found
        return Result(outputs, reject_late(kind, timestamp, clock, self._lateness_ms))

    def gauges(self) -> Mapping[str, tuple[float, float | None]]:
        """Errors beside their bars, coverage, and the means over links that dashboards show."""
        links = self._table.rows
        n = float(len(links))
        each = np.arange(len(links))
        newest = links["window"][each, (links["count"] - 1) % WINDOW]
        newest_made = (links["made"] - 1) % PENDING
        short = links["said"][each, newest_made, PREDICTED].astype(np.uint32) << 16
        predicted = links["last"][each, newest_made] + short.view(np.float32)
        total = self._total[0]
        scored = float(total["scored"])
        found: dict[str, tuple[float, float | None]] = {
            "network_links": (n, None),
            "model_version": (float(MODEL_NUMBER), 1.0),
            "network_samples": (float(self._seen.sum()), None),
            "network_duplicates": (float(self._seen[DUPLICATE]), None),
            "network_reordered": (float(self._seen[REORDERED]), None),
            "network_late": (float(self._seen[LATE]), None),
            "forecast_scored": (scored, None),
            "forecast_accuracy": (scored - float(total["relative_error"]), scored),
            "forecast_confidence": (total_confidence(links), n),
        }
        for m, target in enumerate(TARGETS):
            found[f"current_{target}"] = (float(newest[:, m].sum()), n)
            found[f"predicted_{target}"] = (float(predicted[:, m].sum()), n)
            found[f"forecast_coverage_{target}"] = (float(total["covered"][m]), scored)
            for bar in ("", "persistence_", "moving_average_"):
                found[f"forecast_{bar}mae_{target}"] = (float(total[f"{bar}error"][m]), scored)
        return found

    @classmethod
    def warm(cls) -> None:
        """Compile every kernel by running a few samples of one link."""
        state = cls()
        state.step(network_batch(timestamps_ms=[0, 60_000, HORIZON_MS]))
        state.gauges()


@njit(cache=True)
def _step(
    links: NDArray[Any],
    models: NDArray[Any],
    slot: NDArray[Any],
    timestamp: NDArray[Any],
    target: NDArray[Any],
    counter: NDArray[Any],
    code: NDArray[Any],
    kind_of_link: NDArray[Any],
    lateness_ms: int,
    bounds: NDArray[Any],
    kind: NDArray[Any],
    clock: NDArray[Any],
    feature: NDArray[Any],
    made: NDArray[Any],
    certain: NDArray[Any],
    amst: NDArray[Any],
    score: NDArray[Any],
) -> None:
    work = np.empty((3, len(EXPERTS)))
    for i in range(len(slot)):
        link = links[slot[i]]
        model = models[kind_of_link[i]]
        clock[i] = link.clock
        kind[i] = arrival(link.count > 0, link.clock, timestamp[i], lateness_ms)
        if kind[i] == LATE:
            continue
        fresh = kind[i] == FRESH
        if fresh:
            if link.count == 0:
                link.streams, link.buffer_bytes, link.chunk_bytes = START
            take_sample(link, model, timestamp[i], target[i], HORIZON_MS, score[i], work)
            clock[i] = timestamp[i]
        write_features(link.window, link.count, timestamp[i], target[i], counter[i], code[i], feature[i])
        forecast(link, model, link.count, HORIZON_MS, bounds, made[i], work)
        certain[i] = confidence(link)
        _transport(link, made[i], certain[i], fresh, amst[i])
        if fresh:
            remember(link, made[i], HORIZON_MS)


@njit(cache=True)
def _add(totals: NDArray[Any], score: NDArray[Any]) -> None:
    """Sums in row order: numpy's would depend on how the stream was cut."""
    total = totals[0]
    for i in range(len(score)):
        one = score[i]
        if one.scored:
            total.scored += 1
            total.relative_error += min(one.relative_error, 1.0)
            for m in range(4):
                total.error[m] += one.error[m]
                total.persistence_error[m] += one.persistence_error[m]
                total.moving_average_error[m] += one.moving_average_error[m]
                total.covered[m] += one.covered[m]


@njit(cache=True)
def take_sample(
    link: Any, model: Any, timestamp_ms: int, actual: NDArray[Any], horizon_ms: int, score: Any, work: NDArray[Any]
) -> None:
    """Score the forecast that a link's next sample meets, if any, learn from it, and take the sample in.

    Parameters
    ----------
    link, model
        The link's `LINK` record and its type's `MODEL`.
    timestamp_ms
        The sample's event time, after the link's clock.
    actual
        The four targets.
    horizon_ms
        How far ahead the link's forecasts look.
    score
        A `SCORE` record to fill.
    work
        Work space `[3, 16]`.
    """
    at = due(link, timestamp_ms, horizon_ms)
    if at >= 0:
        score.scored = True
        score.made_at = link.made_at[at]
        for m in range(4):
            score.error[m] = abs(said_of(link, at, m) - actual[m])
            score.persistence_error[m] = abs(link.last[at, m] - actual[m])
            score.moving_average_error[m] = abs(link.average[at, m] - actual[m])
            score.covered[m] = side_of(link, at, m, actual[m]) == 0
        score.relative_error = settle(link, model, at, actual, work)
    observe(link, link.count, float(timestamp_ms - link.clock), actual, timestamp_ms, horizon_ms)
    link.count += 1
    link.clock = timestamp_ms


@njit(cache=True)
def _transport(link: Any, made: Any, certain: float, fresh: bool, out: NDArray[Any]) -> None:
    """Transport parameters for the forecast link, and the action; what is applied becomes current."""
    predicted = made.predicted
    streams, buffer, chunk, pacing, window = transport(predicted[0], predicted[1], predicted[2], predicted[3])
    now = made.expert[PERSISTENCE]
    action = decide(certain, streams, link.streams, predicted[0], predicted[1], now[0], now[1])
    out[0], out[1], out[2], out[3], out[4], out[5] = streams, buffer, chunk, pacing, window, action
    if fresh and action >= ADJUST:
        link.streams, link.buffer_bytes, link.chunk_bytes = streams, buffer, chunk
